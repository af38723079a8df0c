"""Services that make the recorder do at once what it does by itself a little later.

This runs in Home Assistant; `support.home_assistant.server` calls it.
"""

from datetime import timedelta

from homeassistant.components.recorder.tasks import StatisticsTask
from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers.recorder import get_instance
from homeassistant.helpers.typing import ConfigType
from homeassistant.util import dt


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:  # noqa: ARG001  # as Home Assistant calls it
    """Add `recorder_tools.flush` (what has happened is in the database) and `.compile` (so are statistics of it)."""

    async def flush(call: ServiceCall) -> None:  # noqa: ARG001  # as above
        await get_instance(hass).async_block_till_done()

    async def compile_now(call: ServiceCall) -> None:
        await flush(call)
        get_instance(hass).queue_task(StatisticsTask(dt.utcnow() - timedelta(minutes=5), fire_events=False))
        await flush(call)

    hass.services.async_register("recorder_tools", "flush", flush)
    hass.services.async_register("recorder_tools", "compile", compile_now)
    return True
