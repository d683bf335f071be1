"""The lake's state without somebody.

What Spark runs left; for a channel also VOD queue and its damaged copies, discovery's memory, and status
tables.

Belongs here: objects below ``state/`` that others change at the same time. Does not belong here: the list
of opt-outs (``collector_service.privacy.opt_outs``), day manifests (``days``) and the ledger (``ledger``).
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


def held(lake: Lake, subject: Subject) -> Counter[str]:
    """What the state holds of the subject. Writes nothing.

    Raises:
        QueueError: the VOD queue is unusable.
    """
    counts = Counter(objects=len(_of_spark(lake, subject)))
    if subject.kind == "viewer":
        return +counts
    queue = QueueStore(lake).load().values() if lake.exists(QUEUE_KEY) else ()
    counts["queued_vods"] = sum(subject.gone.has_channel(item.channel, item.channel_id) for item in queue)
    counts["objects"] += len(_mentioning(lake, DAMAGED_PREFIX, subject))
    counts["status_tables"] = len(_mentioning(lake, _COLLECTORS, subject))
    counts["memories"] = int(discovery.remembers(lake, subject.gone))
    return +counts


def forget_in(lake: Lake, subject: Subject) -> None:
    """Take the subject out of the state; again does nothing.

    Raises:
        QueueError: the VOD queue is unusable.
    """
    for key in _of_spark(lake, subject):
        lake.delete(key)
    if subject.kind == "viewer":
        return
    if held(lake, subject)["queued_vods"]:
        QueueStore(lake).apply(
            lambda items: {
                key: item
                for key, item in items.items()
                if not subject.gone.has_channel(item.channel, item.channel_id)
            }
        )
    for key in _mentioning(lake, DAMAGED_PREFIX, subject):
        lake.delete(key)
    for key in _mentioning(lake, _COLLECTORS, subject):
        # The newest table of a collector: it writes the next one soon.
        lake.delete(key)
    if discovery.remembers(lake, subject.gone):
        discovery.forget_channels(lake, subject.gone)


def others_that_mention(lake: Lake, subject: Subject, known: frozenset[str]) -> list[str]:
    """Objects of the state that nobody here rewrites and that mention the subject, for people to look at.

    Args:
        lake: the lake.
        subject: who is gone.
        known: keys that are meant to.
    """
    found = _mentioning(lake, f"{STATE_PREFIX}/", subject)
    return [key for key in found if key not in known and not key.startswith(_OWN)]


def _of_spark(lake: Lake, subject: Subject) -> list[str]:
    """All objects of those attempts (``state/spark/date=D/ATTEMPT/``) of which one holds the subject.

    Only one run of a job needs them: killed, it left them; running, it fails, and its retry reads the
    tables as they are then. Those that hold the subject come last: without them the rest is not found.
    """
    attempts: defaultdict[str, list[str]] = defaultdict(list)
    for info in lake.objects(SPARK_PREFIX):
        attempts["/".join(info.key.split("/")[:4])].append(info.key)
    found = []
    for keys in attempts.values():
        holding = [key for key in keys if _holds(lake, key, subject)]
        if holding:
            found += [key for key in keys if key not in holding] + holding
    return found


def _holds(lake: Lake, key: str, subject: Subject) -> bool:
    try:
        data = read_object(lake, key)
        return rewritten(key, data, subject).data != data or subject.mentions(data)
    except FileNotFoundError:
        return False
    except UnreadableObjectError:
        return True


def _mentioning(lake: Lake, prefix: str, subject: Subject) -> list[str]:
    """The objects that mention the subject, or are too large for anybody to say."""
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
