"""The built-in splits, as frozen data: what is trained on, what is tested, and what shifts between the two.

Every split stands under the recorded hash of its lists. Lists that are no longer what was recorded make
`tasks.verify` fail; a change on purpose is a new `version`. Lists are drawn when they are first asked for, and kept.
A list `test_id`, fresh tasks of the training distribution, is carried by the out-of-distribution splits.

Three kinds stand side by side in the file of their body. The benchmark's own and its papers' (`standard`, `medium`,
`hard`, `graded`, `ood`). Those of TAVT (Kim, Park, Kim and Han 2025), `tavt`: two training bands and the gap between
them; their authors drew the training tasks anew in every run, here they are drawn once. And `tuning` splits, on which
values of ours are chosen: both their lists lie inside the training distributions of the splits that they tune, in the
same relation to each other as those splits' lists, and touch no test list (`tasks.tuning`).
"""

from tasks.splits import cheetah, ant, humanoid, walker, hopper, point  # noqa: F401, I001 - in the order of the lists
from tasks.splits.record import BUILDERS, RECORDED_HASHES

__all__ = ["BUILDERS", "RECORDED_HASHES"]
