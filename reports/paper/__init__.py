"""What goes into a paper: LaTeX tables that fit its page, the protocol, and the references of the algorithms."""
