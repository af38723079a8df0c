"""`usage-agent migrate-discovery`: takes over docker2mqtt's entities in Home Assistant, and gives them back.

    read ─► match ─► hold the running agent ─► write, step by step, each step read back ─► let it go on

The broker is all the memory there is. The agent's retained discovery messages keep the unique ids that were taken over.
What docker2mqtt had announced is kept beside each container's status (`<base>/<host>/<container>/docker2mqtt`), for
`--undo`.

Between two steps a second passes, because reading back takes that long. Home Assistant needs this second: it unloads an
entity in the background, and takes no other entity with the same unique id before that is done.
"""

import sys
from collections.abc import Collection, Mapping, Sequence

from agent.app.broker_session import connected
from agent.app.migration_broker import Found, MigrationBroker, NotWrittenError
from agent.config import Config
from agent.home_assistant.docker2mqtt import OldEntity, find_entities
from agent.home_assistant.migration import (
    MIGRATE,
    NewDevice,
    Plan,
    match,
    own_ids,
    with_ids,
    without,
)
from agent.mqtt.errors import BrokerError
from agent.runtime.text import escape

WRONG_CONFIGURATION, BROKER_FAILED = 2, 4  # exit codes, as of `check`


def migrate(config: Config, old_host: str, dry_run: bool, undo: bool) -> int:
    """Take over docker2mqtt's entities of this host, or give them back, and print what is done.

    Args:
        config: the host, the broker and the topics.
        old_host: what docker2mqtt calls this host.
        dry_run: only print what would be done.
        undo: give back what was taken over.

    Returns:
        The exit code: 0, WRONG_CONFIGURATION or BROKER_FAILED.
    """
    if not (config.home_assistant.enabled or dry_run or undo):
        remedy = "set it to true first, or the agent would remove the entities"
        print(f"home_assistant.enabled is false: {remedy}", file=sys.stderr)
        return WRONG_CONFIGURATION
    try:
        with connected(config.broker, "migrate") as connection:
            broker = MigrationBroker(connection, config)
            found = broker.read()
            return _undo(broker, found, dry_run) if undo else _migrate(broker, found, old_host, dry_run)
    except NotWrittenError as error:
        print(f"stopped: {escape(str(error))}; then run the command again", file=sys.stderr)
    except BrokerError as error:
        print(f"broker: {escape(str(error))}", file=sys.stderr)
    return BROKER_FAILED


def _migrate(broker: MigrationBroker, found: Found, old_host: str, dry_run: bool) -> int:
    every = find_entities(broker.prefix, found.entity_messages)
    entities = [entity for entity in every if entity.host == old_host]
    others = ", ".join(escape(host) for host in sorted({entity.host for entity in every} - {old_host}))
    if others and not entities:
        choice = f"say which of its hosts this one is, with --host: {others}"
        print(f"docker2mqtt has no host {escape(old_host)} at {broker.address}: {choice}", file=sys.stderr)
        return WRONG_CONFIGURATION
    devices = broker.devices(found, {entity.container for entity in entities})
    plan = match(entities, devices)
    _print_plan(plan, devices, "would keep" if dry_run else "keeps")
    kept = sum(len(moves) for moves in plan.moves.values())
    print(
        f"{_amount(len(entities))} of docker2mqtt's host {escape(old_host)} at {broker.address}, "
        f"below {broker.prefix}: {kept} with a counterpart, {len(plan.left)} without"
        + (f"; other hosts: {others}" if others else "")
    )
    if kept and not dry_run:
        _take_over(broker, found, plan, devices)
        _print_advice(broker, found, entities)
    return 0


def _take_over(broker: MigrationBroker, found: Found, plan: Plan, devices: Sequence[NewDevice]) -> None:
    moved = [device for device in devices if device.topic in plan.moves]
    topics = [entity.topic for moves in plan.moves.values() for entity, _ in moves]
    broker.tell_agent(found)
    broker.write_backups(
        {
            device.level: {
                **found.backups.get(device.level, {}),
                **{entity.topic: found.entity_messages[entity.topic] for entity, _ in plan.moves[device.topic]},
            }
            for device in moved
        }
    )
    # An entity keeps the unique id that it was made with. So the agent's own entity is removed first.
    announced = [device for device in moved if device.is_announced]
    broker.write_devices({device.topic: without(device.document, plan.ids(device.topic)) for device in announced})
    broker.write_entity_messages(dict.fromkeys(topics, MIGRATE))
    broker.write_devices({device.topic: with_ids(device.document, plan.ids(device.topic)) for device in moved})
    broker.write_entity_messages(dict.fromkeys(topics, b""))
    broker.tell_agent(found)


def _undo(broker: MigrationBroker, found: Found, dry_run: bool) -> int:
    originals = {topic: payload for backup in found.backups.values() for topic, payload in backup.items()}
    for topic in sorted(originals):
        print(f"{'would restore' if dry_run else 'restores':<14} {escape(topic)}")
    print(f"{_amount(len(originals))} of docker2mqtt to restore at {broker.address}, below {broker.prefix}")
    if not originals or dry_run:
        return 0
    old_ids = {entity.unique_id for entity in find_entities(broker.prefix, originals)}
    ids = {device.topic: _own_ids_to_restore(device, old_ids) for device in found.announced}
    returning = [device for device in found.announced if ids[device.topic]]
    broker.tell_agent(found)
    broker.unload_devices(device.topic for device in returning)
    broker.write_entity_messages(originals)
    broker.write_devices({device.topic: with_ids(device.document, ids[device.topic]) for device in returning})
    broker.write_backups(dict.fromkeys(found.backups))
    broker.tell_agent(found)
    print("start docker2mqtt: its entities have no values until then")
    return 0


def _own_ids_to_restore(device: NewDevice, old_ids: Collection[str]) -> dict[str, str]:
    """Return the agent's own unique ids, by component key, for the entities that have one of `old_ids` now."""
    components: Mapping[str, Mapping[str, object]] = device.document["components"]
    return own_ids(device.id, [key for key, part in components.items() if part.get("unique_id") in old_ids])


def _print_plan(plan: Plan, devices: Sequence[NewDevice], what: str) -> None:
    for device in devices:
        for entity, key in plan.moves.get(device.topic, ()):
            print(f"{what:<12} {escape(entity.topic)}: `{key}` of {escape(device.container)}")
    for entity, reason in plan.left:
        print(f"{'left alone':<12} {escape(entity.topic)}: {reason}")


def _print_advice(broker: MigrationBroker, found: Found, entities: Sequence[OldEntity]) -> None:
    for topic in sorted({entity.status_topic for entity in entities}):
        if broker.is_online(topic):
            print(f"stop docker2mqtt for good: it runs, says {escape(topic)}, and would announce its entities again")
    if not found.agent_runs:
        print("start the agent: the entities have no values until then")


def _amount(count: int) -> str:
    return f"{count or 'no'} {'entity' if count == 1 else 'entities'}"
