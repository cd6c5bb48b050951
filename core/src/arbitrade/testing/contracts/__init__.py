"""What every implementation of a role must do, as test classes to subclass.

```python
class TestBell(AlertSinkContract):
    @pytest.fixture
    def sink(self) -> AlertSink:
        return Bell()

    @pytest.fixture
    def delivered(self, capsys) -> Callable[[], list[str]]:
        return lambda: capsys.readouterr().err.splitlines()
```
"""

from arbitrade.testing.contracts.account import AccountContract, TradingVenueContract
from arbitrade.testing.contracts.detector import DetectorContract
from arbitrade.testing.contracts.executor import ExecutorContract
from arbitrade.testing.contracts.live import LiveVenueContract
from arbitrade.testing.contracts.manual import ManualAccountContract
from arbitrade.testing.contracts.rule import RiskRuleContract
from arbitrade.testing.contracts.service import ServiceContract
from arbitrade.testing.contracts.sink import AlertSinkContract
from arbitrade.testing.contracts.store import StoreContract
from arbitrade.testing.contracts.venue import VenueContract

__all__ = [
    "AccountContract",
    "AlertSinkContract",
    "DetectorContract",
    "ExecutorContract",
    "LiveVenueContract",
    "ManualAccountContract",
    "RiskRuleContract",
    "ServiceContract",
    "StoreContract",
    "TradingVenueContract",
    "VenueContract",
]
