"""The gate: every rule of a run, asked in the order of their names.

It fails closed.  A rule that raises, or answers what is no answer, refuses for as long as it does;
it is never left out by itself.  Whoever runs the gate hears of each failure and decides whether the
rule's plugin goes; a required rule that is gone keeps live trading from being armed.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import attrs

from arbitrade.calls import REST_S, Call, Calls, PluginInterruptedError, guard
from arbitrade.errors import NonsenseError, PluginError
from arbitrade.models import Flip, Opportunity, Refused
from arbitrade.protocols.risk import RiskRule, SizeRule
from arbitrade.risk.amounts import ZERO

type OnFailure = Callable[[str, BaseException], None]
"""Told the name of a rule and what it raised."""

type _Check = Callable[[Opportunity], Refused | None]
type _MaximumInput = Callable[[Opportunity], Decimal | None]

_LONGEST_SHOWN = 200
_ASKED = Call("risk_rules")


@attrs.frozen
class Cap:
    """The most that may go in.

    Args:
        amount: In the start asset; None for no limit, never negative.
        rule: Whose cap it is; empty for no limit.
    """

    amount: Decimal | None = None
    rule: str = ""


_NO_CAP = Cap()
_INFINITE = Decimal("Infinity")


class RiskGate:
    """Rules, and what they say about an opportunity.

    Ask again for each opportunity of one event: what one takes, the next must not count on.

    Args:
        rules: In any order.
        on_failure: Called each time a rule raises or answers nonsense; must be quick and not raise.
        calls: Told while rules are asked.

    Raises:
        PluginError: Two rules of one name.
    """

    def __init__(
        self,
        rules: Iterable[RiskRule] = (),
        on_failure: OnFailure | None = None,
        calls: Calls | None = None,
    ) -> None:
        self._on_failure = on_failure
        self._calls = calls if calls is not None else Calls()
        self._rules: tuple[tuple[str, RiskRule], ...] = ()
        self._asked: tuple[tuple[str, _Check, _MaximumInput | None], ...] = ()
        self._failures: Counter[str] = Counter()
        self._resting: dict[str, float] = {}
        self.swap(rules)

    # ── rules ────────────────────────────────────────────────────────────────────────────────────

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the rules, sorted: the order they are asked in."""
        return tuple(name for name, _ in self._rules)

    @property
    def rules(self) -> tuple[RiskRule, ...]:
        """The rules in the same order."""
        return tuple(rule for _, rule in self._rules)

    def rule(self, name: str) -> RiskRule | None:
        """Return the rule that had this name when it came."""
        return dict(self._rules).get(name)

    @property
    def failures(self) -> Mapping[str, int]:
        """How often in a row each rule has failed now; those that work are not in it."""
        return {name: count for name, count in self._failures.items() if count}

    def missing(self, required: Iterable[str]) -> tuple[str, ...]:
        """Return which of these names no rule has, in the order given."""
        present = set(self.names)
        return tuple(name for name in required if name not in present)

    def swap(self, rules: Iterable[RiskRule]) -> None:
        """Take other rules from the next opportunity on.

        Raises:
            PluginError: Two rules of one name; the rules stay as they were.
        """
        named = sorted(((rule.name, rule) for rule in rules), key=lambda each: each[0])
        twice = [name for name, count in Counter(name for name, _ in named).items() if count > 1]
        if twice:
            raise PluginError(
                f"risk rules: more than one is called {', '.join(twice)}; names must be unique, "
                "rename one or disable its plugin"
            )
        self._rules = tuple(named)
        self._asked = tuple(
            (name, rule.check, rule.maximum_input if isinstance(rule, SizeRule) else None)
            for name, rule in named
        )
        self._failures = Counter(
            {name: count for name, count in self._failures.items() if name in self.names}
        )

    # ── what they say ────────────────────────────────────────────────────────────────────────────

    @guard
    def judge(self, opportunity: Opportunity) -> Refused | Cap:
        """Return the first refusal in the order of names, else the most that may go in.

        A rule whose cap is 0 refuses.
        """
        # PERF: one `try` around the loop and bound methods; a call for each rule costs 3 µs more.
        smallest, binding, name = None, "", ""
        failures, calls = self._failures, self._calls
        if self._resting:
            resting = self._who_rests(opportunity)
            if resting is not None:
                return resting
        try:
            before = calls.enter(_ASKED)
            for name, check, maximum_input in self._asked:
                refused: object = check(opportunity)
                if refused is not None:
                    calls.leave(before)
                    return self._refusal(name, refused)
                cap: object = None if maximum_input is None else maximum_input(opportunity)
                if cap is not None:
                    # What is in order is seen at a glance; comparing a NaN raises.
                    if not isinstance(cap, Decimal) or not ZERO < cap < _INFINITE:
                        calls.leave(before)
                        self._checked_cap(name, cap)
                        return _nothing_in(name, opportunity)
                    if smallest is None or cap < smallest:
                        smallest, binding = cap, name
                if failures:
                    failures.pop(name, None)
            calls.leave(before)
        except BaseException as error:
            return self._failed(name, opportunity, error)
        return _NO_CAP if smallest is None else Cap(smallest, binding)

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return the first refusal in the order of names, None when every rule lets it pass."""
        answer = self.judge(opportunity)
        return answer if isinstance(answer, Refused) else None

    @guard
    def check_all(self, opportunity: Opportunity) -> tuple[Refused, ...]:
        """Return what each rule that refuses says, in the order of names: all that is in the way.

        The first is the one `check` returns.
        """
        found = []
        for name, check, maximum_input in self._asked:
            before = self._calls.enter(_ASKED)
            try:
                answer: object = check(opportunity)
                refused = None if answer is None else self._refusal(name, answer)
                if refused is None and maximum_input is not None:
                    cap = maximum_input(opportunity)
                    if cap is not None and not self._checked_cap(name, cap):
                        refused = _nothing_in(name, opportunity)
                self._calls.leave(before)
                self._failures.pop(name, None)
            except BaseException as error:
                refused = self._failed(name, opportunity, error)
            if refused is not None:
                found.append(refused)
        return tuple(found)

    @guard
    def caps(self, opportunity: Opportunity) -> Mapping[str, Decimal]:
        """Return each cap there is by the name of its rule, in the start asset.

        Never negative; 0 where a rule fails.
        """
        found = {}
        for name, _, maximum_input in self._asked:
            if maximum_input is None:
                continue
            before = self._calls.enter(_ASKED)
            try:
                cap = maximum_input(opportunity)
                self._calls.leave(before)
                if cap is not None:
                    found[name] = self._checked_cap(name, cap)
            except BaseException as error:
                self._failed(name, opportunity, error)
                found[name] = ZERO
        return found

    def cap(self, opportunity: Opportunity) -> tuple[Decimal | None, str]:
        """Return the smallest cap and whose it is, (None, "") for no limit.

        Never negative; 0 where a rule fails.  Of equal ones the first by name counts.
        """
        caps = self.caps(opportunity)
        if not caps:
            return None, ""
        name = min(caps, key=caps.__getitem__)
        return caps[name], name

    # ── one answer ───────────────────────────────────────────────────────────────────────────────

    def _refusal(self, name: str, answer: object) -> Refused:
        if not isinstance(answer, Refused):
            raise _nonsense(name, "check", answer, "a Refused or None")
        if not _can_be_written(answer):
            raise _nonsense(name, "check", answer, "a Refused of texts, and flips of Decimals")
        self._failures.pop(name, None)
        return answer

    def _checked_cap(self, name: str, cap: object) -> Decimal:
        if not isinstance(cap, Decimal) or not cap.is_finite() or cap < 0:
            wanted = "a finite Decimal of at least 0, or None"
            raise _nonsense(name, "maximum_input", cap, wanted)
        return cap

    def _who_rests(self, opportunity: Opportunity) -> Refused | None:
        """Return the refusal of a rule that held everything up a moment ago; it isn't asked yet."""
        now = time.monotonic()
        self._resting = {
            name: until
            for name, until in self._resting.items()
            if now < until and name in self.names
        }
        if not self._resting:
            return None
        name = min(self._resting)
        reason = "the rule held everything up, so it is asked again in a moment"
        return Refused(opportunity, name, reason, "no answer", "an answer")

    def _failed(self, name: str, opportunity: Opportunity, error: BaseException) -> Refused:
        self._calls.leave()
        if isinstance(error, KeyboardInterrupt):
            raise error
        if isinstance(error, PluginInterruptedError):
            self._resting[name] = time.monotonic() + REST_S
        self._failures[name] += 1
        if self._on_failure is not None:
            self._on_failure(name, error)
        said = f"{type(error).__name__}: {error}"
        if len(said) > _LONGEST_SHOWN:
            said = f"{said[:_LONGEST_SHOWN]}…"
        return Refused(
            opportunity,
            name,
            f"the rule failed, so nothing passes it ({said})",
            value=f"{self._failures[name]} failures in a row",
            limit="an answer",
        )


def _nonsense(name: str, method: str, answer: object, wanted: str) -> PluginError:
    return NonsenseError(f"risk rule {name}: {method} returned {answer!r}, not {wanted}")


def _can_be_written(refused: Refused) -> bool:
    """Tell whether a refusal can go into records and be read by others."""
    texts: tuple[object, ...] = (refused.rule, refused.reason, refused.value, refused.limit)
    flips: object = refused.flips
    if not all(isinstance(text, str) for text in texts) or not isinstance(flips, tuple):
        return False
    return all(
        isinstance(flip, Flip) and all(isinstance(n, Decimal) for n in (flip.current, flip.needed))
        for flip in flips
    )


def _nothing_in(name: str, opportunity: Opportunity) -> Refused:
    asset = opportunity.assets[0]
    return Refused(
        opportunity, name, f"{name} lets nothing go in", f"0 {asset}", f"more than 0 {asset}"
    )
