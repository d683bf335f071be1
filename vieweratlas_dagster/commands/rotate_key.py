"""``vieweratlas rotate-key``: retire the viewer key, and begin a new population of viewers.

The lake's record changes last. A process that is killed earlier leaves a key that differs from the lake's:
every writer refuses it, and the same command finishes the rotation.
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
    """Make this machine's key the lake's; if it already is, make a new one first. Returns lines to print.

    Raises:
        SettingsError: viewers have opted out and ``drop_viewer_opt_outs`` is false, the key in the
            environment is still the lake's, or a file is unusable. Nothing was changed.
    """
    lake, privacy = Lake.open(settings.storage), settings.privacy
    known, given = populations(lake), given_viewer_key_secret(privacy)
    opted_out = len(read_opt_outs(lake).viewer_keys)
    if opted_out and not drop_viewer_opt_outs:
        raise SettingsError(
            f"{opted_out} viewers have opted out under the old key. With a new key they cannot be "
            "recognised and would be collected again. If you can repeat `vieweratlas forget --viewer` for "
            "them after the rotation, use --drop-viewer-opt-outs"
        )
    lines = []
    is_lakes = bool(given and known and fingerprint(given) == known[-1].fingerprint)
    if is_lakes and privacy.viewer_key_secret.get_secret_value():
        raise SettingsError(
            "VIEWER_KEY_SECRET is still the lake's key: put a new one into your secret store, and run this "
            "command with it"
        )
    if is_lakes:
        old = _free_name(privacy.viewer_key_file, f"{RETIRED}{settings.today}")
        privacy.viewer_key_file.rename(old)
        lines.append(
            f"The old key is in {old}. Delete it when earlier viewers need not be recognised any more."
        )
    secret = load_viewer_key_secret(privacy)
    begin_population(lake, secret, settings.today)
    lines.append(f"A new population begins on {settings.today}: no graph uses earlier days.")
    lines.append("Restart every collector now; until then it writes with the old key.")
    return lines


def _free_name(path: Path, suffix: str) -> Path:
    number, found = 1, path.with_name(f"{path.name}.{suffix}")
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}.{suffix}-{number}")
    return found
