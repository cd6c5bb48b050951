"""What every risk rule has to keep to."""

from collections.abc import Callable
from decimal import Decimal

import attrs
import pytest

from arbitrade.models import Opportunity, Refused
from arbitrade.plugins.roles import role_problems
from arbitrade.plugins.trials.rules import MakeRule, situations, wrong_answers
from arbitrade.plugins.trials.running import PATIENCE_S, within
from arbitrade.protocols import RiskRule
from arbitrade.synthetic.view import FakeRiskView, make_opportunity

type Scene = tuple[FakeRiskView, Opportunity]
type WithParameter = Callable[[str, Decimal], RiskRule]


class RiskRuleContract:
    """What every risk rule must do.

    A subclass brings four fixtures: `make_rule`, a function that returns the rule for a view;
    `passing` and `refused`, each a view and an opportunity that the rule lets pass or not; and
    `with_parameter`, a function that returns the rule of `refused` with one of the parameters that
    its flips name set to a value.  By default that sets limits, ``risk.…``.

    ```python
    class TestNarrow(RiskRuleContract):
        @pytest.fixture
        def make_rule(self) -> Callable[[RiskView], RiskRule]:
            return lambda view: NarrowSpreads(Decimal(50), view)

        @pytest.fixture
        def with_parameter(self, refused: Scene) -> Callable[[str, Decimal], RiskRule]:
            return lambda name, value: NarrowSpreads(value, refused[0])
    ```

    A rule that no number would have flipped, such as a kill switch, says ``has_flips = False``.
    """

    has_flips = True

    @pytest.fixture
    def make_rule(self) -> MakeRule:
        """Return a function that makes the rule under test."""
        raise NotImplementedError("the subclass brings a fixture `make_rule`")

    @pytest.fixture
    def passing(self) -> Scene:
        """Return a view and an opportunity that is let pass."""
        raise NotImplementedError("the subclass brings a fixture `passing`")

    @pytest.fixture
    def refused(self) -> Scene:
        """Return a view and an opportunity that is refused."""
        raise NotImplementedError("the subclass brings a fixture `refused`")

    @pytest.fixture
    def with_parameter(self, make_rule: MakeRule, refused: Scene) -> WithParameter:
        """Return a function that makes the rule of `refused` with another limit."""

        def changed(parameter: str, value: Decimal) -> RiskRule:
            section, _, name = parameter.partition(".")
            assert section == "risk", f"bring a fixture `with_parameter` that can set {parameter}"
            view = attrs.evolve(refused[0])
            view.set_limits(**{name: value})
            return make_rule(view)

        return changed

    def test_rule_plays_the_role_under_a_name_that_does_not_change(
        self, make_rule: MakeRule
    ) -> None:
        """Refusals and `live.required_rules` go by it."""
        rule = make_rule(FakeRiskView())
        assert role_problems(rule, RiskRule) == ()
        assert rule.name == make_rule(FakeRiskView()).name == rule.name.strip() != ""

    def test_what_is_allowed_passes(self, make_rule: MakeRule, passing: Scene) -> None:
        """A rule that refuses everything would keep all the other promises."""
        view, opportunity = passing
        assert make_rule(view).check(opportunity) is None
        assert wrong_answers(make_rule(view), opportunity) == []

    def test_refusal_says_what_was_measured_and_what_is_allowed(
        self, make_rule: MakeRule, refused: Scene
    ) -> None:
        """An operator has nothing else to go by."""
        view, opportunity = refused
        assert isinstance(make_rule(view).check(opportunity), Refused)
        assert wrong_answers(make_rule(view), opportunity) == []

    def test_each_flip_alone_lets_it_pass_and_half_of_it_does_not(
        self, make_rule: MakeRule, refused: Scene, with_parameter: WithParameter
    ) -> None:
        """“What would have let it pass” must be true, and the smallest change that is."""
        view, opportunity = refused
        answer = make_rule(view).check(opportunity)
        assert answer is not None
        if not self.has_flips:
            assert answer.flips == (), "it has flips: leave out `has_flips = False`"
            return
        assert answer.flips, "it names no flip; if no number would do, set `has_flips = False`"
        for flip in answer.flips:
            enough = with_parameter(flip.parameter, flip.needed)
            assert enough.check(opportunity) is None, f"{flip} is not enough"
            half = with_parameter(flip.parameter, flip.current + flip.change / 2)
            assert half.check(opportunity) is not None, f"half of {flip} is enough"

    @pytest.mark.parametrize("situation", situations())
    def test_rule_answers_whatever_there_is_to_see(
        self, make_rule: MakeRule, situation: str
    ) -> None:
        """What is not known is refused; raising refuses too, but tells nobody why."""
        rule = make_rule(situations()[situation])
        assert within(PATIENCE_S, lambda: wrong_answers(rule, make_opportunity())) == []
