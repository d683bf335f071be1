"""Removing the subject from objects below ``state/`` that other processes change at the same time.

These are leftovers of Spark runs and, for a channel, the VOD queue with its damaged copies, discovery's
memory, and the status tables of collectors.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from collector_service.contract import STATE_PREFIX
from collector_service.lake import Lake
from collector_service.support.limits import MAX_STATE_BYTES, TooLargeError
from vieweratlas_dagster.forgetting.ledger import JOBS_PREFIX, LEDGER_PREFIX
from vieweratlas_dagster.forgetting.rewriting import UnreadableObjectError, read_object, rewritten
from vieweratlas_dagster.forgetting.subject import Subject
from vieweratlas_dagster.lake.keys import MANIFESTS_PREFIX, SPARK_PREFIX
from vieweratlas_dagster.vod import discovery
from vieweratlas_dagster.vod.queue_store import DAMAGED_PREFIX, QUEUE_KEY, QueueStore

_COLLECTORS = f"{STATE_PREFIX}/collectors/"
_OWN = (JOBS_PREFIX, LEDGER_PREFIX, MANIFESTS_PREFIX)


def count_in(lake: Lake, subject: Subject) -> Counter[str]:
    """Count the state's data of the subject. Writes nothing.

    Raises:
        QueueError: the VOD queue is unusable.
    """
    counts = Counter(objects=len(_of_spark(lake, subject)))
    if subject.kind == "viewer":
        return +counts
    queue = QueueStore(lake).load().values() if lake.exists(QUEUE_KEY) else ()
    counts["queued_vods"] = sum(
        subject.opt_outs.has_channel(item.channel, item.channel_id) for item in queue
    )
    counts["objects"] += len(_mentioning(lake, DAMAGED_PREFIX, subject))
    counts["status_tables"] = len(_mentioning(lake, _COLLECTORS, subject))
    counts["memories"] = int(discovery.remembers(lake, subject.opt_outs))
    return +counts


def forget_in(lake: Lake, subject: Subject) -> None:
    """Remove the subject from the state; a repetition changes nothing.

    Raises:
        QueueError: the VOD queue is unusable.
    """
    for key in _of_spark(lake, subject):
        lake.delete(key)
    if subject.kind == "viewer":
        return
    if count_in(lake, subject)["queued_vods"]:
        QueueStore(lake).apply(
            lambda items: {
                key: item
                for key, item in items.items()
                if not subject.opt_outs.has_channel(item.channel, item.channel_id)
            }
        )
    for key in _mentioning(lake, DAMAGED_PREFIX, subject):
        lake.delete(key)
    for key in _mentioning(lake, _COLLECTORS, subject):
        # The collector soon writes the next table, without the subject.
        lake.delete(key)
    if discovery.remembers(lake, subject.opt_outs):
        discovery.forget_channels(lake, subject.opt_outs)


def others_that_mention(lake: Lake, subject: Subject, known: frozenset[str]) -> list[str]:
    """Further objects of the state that mention the subject; people must look at them.

    Args:
        lake: the lake.
        subject: the viewer or channel that was removed.
        known: keys that must mention it.
    """
    found = _mentioning(lake, f"{STATE_PREFIX}/", subject)
    return [key for key in found if key not in known and not key.startswith(_OWN)]


def _of_spark(lake: Lake, subject: Subject) -> list[str]:
    """All objects of the attempts (``state/spark/date=D/ATTEMPT/``) that contain the subject.

    Only one run of a job needs them. If it was killed, they are leftovers; if it is running, it fails, and
    its retry reads the rewritten tables. Objects with the subject come last, because they identify the
    attempt if this process is killed.
    """
    attempts: defaultdict[str, list[str]] = defaultdict(list)
    for info in lake.objects(SPARK_PREFIX):
        attempts["/".join(info.key.split("/")[:4])].append(info.key)
    found = []
    for keys in attempts.values():
        matching = [key for key in keys if _contains(lake, key, subject)]
        if matching:
            found += [key for key in keys if key not in matching] + matching
    return found


def _contains(lake: Lake, key: str, subject: Subject) -> bool:
    try:
        data = read_object(lake, key)
        return rewritten(key, data, subject).data != data or subject.mentions(data)
    except FileNotFoundError:
        return False
    except UnreadableObjectError:
        return True


def _mentioning(lake: Lake, prefix: str, subject: Subject) -> list[str]:
    """The objects that mention the subject or are too large to be searched."""
    found = []
    for info in lake.objects(prefix):
        try:
            if subject.mentions(lake.get(info.key, MAX_STATE_BYTES)):
                found.append(info.key)
        except TooLargeError:
            found.append(info.key)
        except FileNotFoundError:
            continue
    return found
