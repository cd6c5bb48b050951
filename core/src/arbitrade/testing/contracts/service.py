"""What every service has to keep to."""

import pytest

from arbitrade.plugins.roles import role_problems
from arbitrade.plugins.trials.beside import served
from arbitrade.plugins.trials.running import unblocked
from arbitrade.protocols import Service


class ServiceContract:
    """What every service must do.

    A subclass brings one fixture: `service`, in surroundings it can run in.

    ```python
    class TestPulse(ServiceContract):
        @pytest.fixture
        def service(self, tmp_path: Path) -> Service:
            return Pulse(tmp_path / "pulse", every_s=0.01, view=FakeBot())
    ```
    """

    @pytest.fixture
    def service(self) -> Service:
        """Return the service under test."""
        raise NotImplementedError("the subclass brings a fixture `service`")

    def test_service_plays_the_role_under_a_name_that_does_not_change(
        self, service: Service
    ) -> None:
        """The name identifies it in messages."""
        assert role_problems(service, Service) == ()
        assert service.name == service.name.strip() != ""

    async def test_service_runs_until_it_is_cancelled_and_then_ends(self, service: Service) -> None:
        """Within seconds, with `CancelledError`, and without holding the event loop up."""
        assert await unblocked(lambda: served(service)) == []
