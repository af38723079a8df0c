"""Types of fields that the payloads share."""

from typing import Annotated

from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
Number = Annotated[float, Meta(ge=0)]
Time = Annotated[str, Meta(description="RFC 3339, UTC", pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]
