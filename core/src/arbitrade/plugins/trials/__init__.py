"""Tries out what a plugin made, on small made-up inputs: what `plugins check` runs.

One module a role.  Each function yields what is wrong, as whole sentences that name the object, the
member, the value and the next step; nothing means that nothing was found.  The test classes of
`arbitrade.testing.contracts` ask the same functions, so that a plugin's own suite and the check of
the installed whole agree.

An object that is tried out can raise, block or never end: whoever calls does so by
`arbitrade.plugins.trials.running.within`.
"""
