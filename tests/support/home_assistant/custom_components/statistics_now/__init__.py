"""A service that compiles statistics, which the recorder does by itself every five minutes only.

This runs in Home Assistant; `support.home_assistant.server` calls it.
"""

from datetime import timedelta

from homeassistant.components.recorder.tasks import StatisticsTask
from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers.recorder import get_instance
from homeassistant.helpers.typing import ConfigType
from homeassistant.util import dt


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:  # noqa: ARG001  # as Home Assistant calls it
    """Add the service `statistics_now.compile`, which compiles the statistics of the last five minutes."""

    async def compile_now(call: ServiceCall) -> None:  # noqa: ARG001  # as above
        recorder = get_instance(hass)
        await recorder.async_block_till_done()  # what has happened is in the database
        recorder.queue_task(StatisticsTask(dt.utcnow() - timedelta(minutes=5), fire_events=False))
        await recorder.async_block_till_done()

    hass.services.async_register("statistics_now", "compile", compile_now)
    return True
