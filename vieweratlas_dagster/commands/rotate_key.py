"""``vieweratlas rotate-key``: a new population of viewers, on purpose.

Belongs here: putting the old key away, making the new one, and telling the lake. Does not belong here: what
a population is (``collector_service.privacy.populations``).

The lake is told last. A process that is killed before leaves a key that is not the lake's: every writer
refuses it, and the same command, which finds it there, finishes.
"""

from __future__ import annotations

from pathlib import Path

from collector_service.lake import Lake
from collector_service.privacy.opt_outs import read_opt_outs
from collector_service.privacy.populations import begin_population, fingerprint, populations
from collector_service.privacy.viewer_secret import RETIRED, given_viewer_key_secret, load_viewer_key_secret
from collector_service.settings import SettingsError
from vieweratlas_dagster.settings import Settings


def rotate(settings: Settings, *, drop_viewer_opt_outs: bool) -> list[str]:
    """Make the key at hand the lake's, or a new one when it is already; returns what was done, in words.

    Raises:
        SettingsError: viewers are listed as opted out and that was not to be dropped, the key comes from
            the environment and has not been changed there, or a file is unusable. Nothing was changed then.
    """
    lake, privacy = Lake.open(settings.storage), settings.privacy
    known, given = populations(lake), given_viewer_key_secret(privacy)
    left_out = len(read_opt_outs(lake).viewer_keys)
    if left_out and not drop_viewer_opt_outs:
        raise SettingsError(
            f"{left_out} viewers are listed as opted out by keys of the old population. With a new key "
            "nobody can recognise them, and they would be collected again. If you can ask them anew "
            "(`vieweratlas forget --viewer` after the rotation), go on with --drop-viewer-opt-outs"
        )
    told = []
    is_lakes = bool(given and known and fingerprint(given) == known[-1].fingerprint)
    if is_lakes and privacy.viewer_key_secret.get_secret_value():
        raise SettingsError(
            "VIEWER_KEY_SECRET is the lake's key still: put a new one into your secret store, give it to "
            "this command, and run it again"
        )
    if is_lakes:
        old = _free_name(privacy.viewer_key_file, f"{RETIRED}{settings.today}")
        privacy.viewer_key_file.rename(old)
        told.append(
            f"The old key is in {old}. Remove it when nobody needs to recognise old viewers any more."
        )
    secret = load_viewer_key_secret(privacy)
    begin_population(lake, secret, settings.today)
    told.append(f"A new population begins on {settings.today}: no graph reaches back behind that day.")
    told.append("Restart every collector now; what runs on writes with the old key until then.")
    return told


def _free_name(path: Path, suffix: str) -> Path:
    number, found = 1, path.with_name(f"{path.name}.{suffix}")
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}.{suffix}-{number}")
    return found
