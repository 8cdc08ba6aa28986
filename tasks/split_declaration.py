"""A user's own split of an existing family, as it is written in an experiment file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, FiniteFloat, PositiveInt, Tag, model_validator

from tasks.frozen import Frozen
from tasks.list_checks import contradictions, lies_between
from tasks.list_declaration import TaskList
from tasks.registry import InvalidDeclaration, UnknownName, check_lists, get_family, splits
from tasks.sampling import Values
from tasks.schemes import FiniteInterval, intervals_of, kind_of_range, require_order
from tasks.spec import Interval, References, Shift, TaskFamily, TaskSplit

SupportOfOne = Annotated[
    Annotated[FiniteInterval, Tag("tuple")]
    | Annotated[tuple[FiniteInterval, ...], Tag("list")]
    | Annotated[Literal["listed"], Tag("literal")],
    Discriminator(lambda value: "literal" if isinstance(value, str) else kind_of_range(value)),
]
"""Of a parameter: low and high of one interval, or of each of several, or that its listed values are all there are."""

Support = Annotated[
    Annotated[dict[str, SupportOfOne], Tag("dict")] | Annotated[Literal["listed"], Tag("literal")],
    Discriminator(lambda value: "dict" if isinstance(value, dict) else "literal"),
]
"""By parameter, where the training tasks are drawn from; or that there is nothing but their list."""

ListName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]

MOST_LISTS = 20  # besides train, test and test_id


class SplitDeclaration(Frozen):
    """What a user says of a split; the rest follows from the family."""

    family: str
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60)
    description: str = ""
    shift: Shift
    train: TaskList
    test: TaskList
    test_id: TaskList | None = Field(default=None, description="None: the training tasks themselves, and it says so")
    # What is not declared is left out, so that experiments from before these fields are what they always were.
    extra: dict[ListName, TaskList] = Field(
        default_factory=dict,
        max_length=MOST_LISTS,
        exclude_if=lambda lists: not lists,
        description="further test lists by name, of the declared shift as test is; tested where the protocol's "
        "`task_lists` name them",
    )
    support: Support | None = Field(
        default=None,
        exclude_if=lambda support: support is None,
        description="where the tasks of a listed train are drawn from: for each parameter of which train does not say "
        "so an interval, or several (of a place: of its distance from the origin), such as {angle: [0, 4]}; `listed`: "
        "its tasks (of a parameter: its values) are all there are",
    )
    tunes: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda names: not names,
        description="makes it a tuning split: names of the family's splits for which values may be chosen on it",
    )
    adaptation_transitions: PositiveInt = Field(le=10**9)  # more than a record can say, or anybody can collect
    null_return: FiniteFloat | None = Field(
        default=None,
        description="expected return of the zero action on the test list (score 0); None: the `null` reference that "
        "runs beside it measures it, and without one there are no scores",
    )
    ceiling: FiniteFloat | None = None

    @model_validator(mode="after")
    def _in_order(self) -> SplitDeclaration:
        for name, given in self.support.items() if isinstance(self.support, dict) else ():
            if given != "listed":
                require_order(intervals_of(given), f"support.{name}")
        if taken := {"train", "test", "test_id"} & self.extra.keys():
            raise ValueError(f"extra: {', '.join(sorted(taken))} stands beside it, not in it")
        return self

    def split(self) -> TaskSplit:
        """The split.

        Raises:
            UnknownName: there is no such family, split, list or parameter.
            InvalidDeclaration: the name is a built-in split's, a list is empty or cannot be given so, a task has the
                wrong number of parameters or one out of range, or the lists are not what their names and the shift say.
        """
        family = get_family(self.family)
        given = {"train": self.train, "test": self.test, "test_id": self.test_id or self.train, **self.extra}
        rows = {name: self._rows(name, tasks, family) for name, tasks in given.items()}
        split = TaskSplit(
            family=family.name, name=self.name, shift=self.shift,
            description=self.description or "declared by the user", train=rows["train"], test=rows["test"],
            test_id=rows["test_id"], test_id_is_train=self.test_id is None,
            extra={name: rows[name] for name in self.extra},
            adaptation_transitions=self.adaptation_transitions, drawn=self._drawn,
            references=References(null=self.null_return, ceiling=self.ceiling, source="declared by the user"),
            axis=family.parameters[0].name if family.parameter_dim == 1 else "",
            tunes=self.tunes,
        )  # fmt: skip
        check_lists(split, family)
        split = split.model_copy(update={"support": self._support(family, rows["train"])})
        problems = contradictions(split, family) + self._unsaid(split, family)
        if problems:
            raise self._invalid(family, "; ".join(problems))
        if split.full_name in {known.full_name for known in splits()}:
            raise self._invalid(family, "exists already; give yours a name of its own", "")
        return split

    def _invalid(self, family: TaskFamily, words: str, joint: str = ":") -> InvalidDeclaration:
        return InvalidDeclaration(f"split '{family.name}.{self.name}'{joint} {words}")

    def _rows(self, name: str, tasks: TaskList, family: TaskFamily) -> Values:
        try:
            return tasks.rows(family)
        except InvalidDeclaration as error:
            raise self._invalid(family, f"{name}: {error}") from None

    @property
    def _drawn(self) -> str:
        """How its lists came about, in words."""
        lists = {"train": self.train, "test": self.test, "test_id": self.test_id, **self.extra}
        words = (f"{name} {tasks.words if tasks else 'the training list'}" for name, tasks in lists.items())
        return f"declared by the user: {'; '.join(words)}"

    def _support(self, family: TaskFamily, train: Values) -> tuple[tuple[Interval, ...], ...] | None:
        """The training distribution, in the order of the family's parameters; None: the training list alone."""
        said, names = self.train.support(family), [parameter.name for parameter in family.parameters]
        declared = self.support
        if said == "listed" or len(said) == len(names):
            if declared is not None:
                raise self._invalid(family, "support follows from train, as it is drawn or another split's; take it "
                                    "out, or list train by values")  # fmt: skip
            return None if said == "listed" else tuple(said[name] for name in names)
        if not said and (declared is None or declared == "listed"):
            return None
        given = declared if isinstance(declared, dict) else {}
        for name in given:
            if name not in names:
                raise UnknownName("parameter", name, names, f"`support` is by the parameters of {family.name}.")
            if name in said:
                raise self._invalid(family, f"support of {name} follows from train; take it out")
        if missing := [name for name in names if name not in said and name not in given]:
            raise self._invalid(family, f"support lacks {', '.join(missing)}: say where training values of it are from,"
                                f" such as support: {{{missing[0]}: [low, high]}}, or listed")  # fmt: skip
        return tuple(said.get(name) or self._support_of(name, given[name], family, train) for name in names)

    def _support_of(self, name: str, given: Any, family: TaskFamily, train: Values) -> tuple[Interval, ...]:
        """The declared support of one parameter."""
        if given != "listed":
            return intervals_of(given)
        sizes = {parameter.name: parameter.size for parameter in family.parameters}
        if sizes[name] != 1:
            raise self._invalid(family, f"support.{name}: it has {sizes[name]} elements, so that no list of numbers is "
                                "all there are; give its low and high")  # fmt: skip
        column = sum(parameter.size for parameter in family.parameters[: list(sizes).index(name)])
        return tuple((value, value) for value in sorted({row[column] for row in train}))

    def _unsaid(self, split: TaskSplit, family: TaskFamily) -> list[str]:
        """Why it cannot be told whether tests are out of distribution, if nothing is said of that distribution."""
        if self.shift != "out_of_distribution" or self.support is not None or self.train.support(family):
            return []
        example = ", ".join(f"{parameter.name}: [low, high]" for parameter in family.parameters)
        return [
            f"declares shift 'out_of_distribution', but every {name} task lies between training tasks, and nothing "
            f"says where these are drawn from: declare `support: {{{example}}}`, or `support: listed` if they are "
            "all there are"
            for name in ("test", *split.extra)
            if lies_between(split, family, name)
        ]
