"""The words of the planted world: games, languages, bots, names, phrases."""

from __future__ import annotations

from random import Random
from typing import NamedTuple


class Game(NamedTuple):
    """A Twitch category."""

    id: str
    name: str


class Language(NamedTuple):
    """A language region: ISO 639-1 code and hours its evening is ahead of UTC's."""

    code: str
    utc_offset: int


LANGUAGES = (
    Language("en", -5),
    Language("es", -3),
    Language("de", 1),
    Language("fr", 1),
    Language("pt", -3),
    Language("ru", 3),
    Language("ja", 9),
    Language("ko", 9),
    Language("pl", 1),
    Language("it", 1),
)

GAMES = (
    Game("21779", "League of Legends"),
    Game("516575", "VALORANT"),
    Game("32399", "Counter-Strike"),
    Game("27471", "Minecraft"),
    Game("32982", "Grand Theft Auto V"),
    Game("33214", "Fortnite"),
    Game("29595", "Dota 2"),
    Game("511224", "Apex Legends"),
    Game("18122", "World of Warcraft"),
    Game("30921", "Rocket League"),
    Game("515025", "Overwatch 2"),
    Game("743", "Chess"),
    Game("513143", "Teamfight Tactics"),
    Game("491931", "Escape from Tarkov"),
    Game("491487", "Dead by Daylight"),
    Game("138585", "Hearthstone"),
    Game("263490", "Rust"),
    Game("460630", "Tom Clancy's Rainbow Six Siege"),
    Game("513181", "Genshin Impact"),
    Game("490744", "Stardew Valley"),
    Game("19554", "iRacing"),
    Game("512953", "ELDEN RING"),
    Game("459931", "Old School RuneScape"),
    Game("21465", "osu!"),
)
JUST_CHATTING = Game("509658", "Just Chatting")

LISTED_BOTS = (
    "nightbot",
    "streamelements",
    "streamlabs",
    "moobot",
    "fossabot",
    "soundalerts",
    "wizebot",
    "sery_bot",
    "botrixoficial",
    "kofistreambot",
    "own3d",
    "pokemoncommunitygame",
)
UNLISTED_BOTS = ("clipharvester", "statbeacon_gg", "giveaway_relay", "overlay_pinger", "vodindexer")

ANONYMOUS_GIFTER = ("ananonymousgifter", "AnAnonymousGifter", 274598607)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST = _words("""
    amber arctic ash blue brave bright calm clever cosmic crimson dark dawn deep drift dusty echo ember
    faded fern frost ghost giga gold grim happy hazel hidden hollow honey icy iron ivory jade jolly kind
    late lazy lilac lone lucky lunar mad magic mellow mint misty moon moss neon night noble odd olive
    onyx pale pixel polar proud quick quiet rapid red rogue royal ruby rusty sad salty sharp shy silent
    silver sleepy sly snowy solar spicy steel storm sunny super swift tiny true turbo twin velvet vivid
    wild windy
""")
_SECOND = _words("""
    acorn anchor apple arrow badger bandit bear beetle bird bishop blade bolt breeze cactus candle cat
    cherry cloud cobra comet coyote crow daisy deer dragon eagle falcon feather finch fish flame fox
    frog gecko goat goose hare hawk hornet hunter jackal jaguar kitten knight koala lemon lion lizard
    lynx mage mango maple marten melon mole moth mouse ninja oak otter owl panda panther peach pine
    pirate plum puma quill rabbit ranger raven reef river robin rook sable sage shark sloth snail spark
    squid stag swan thief tiger toad turtle viper wasp whale willow wizard wolf wombat wren yak zebra
""")

_TITLES = {
    "en": ("chill day | !discord", "road to the top", "late night grind", "playing with viewers"),
    "es": ("directo tranquilo | !discord", "subiendo de rango", "jugando con subs"),
    "de": ("entspannter Abend | !discord", "wir steigen auf", "Zuschauerrunden"),
    "fr": ("soirée tranquille | !discord", "on monte en rang", "parties avec les viewers"),
    "pt": ("live de boa | !discord", "subindo de elo", "jogando com os inscritos"),
    "ru": ("вечерний стрим | !discord", "поднимаем ранг", "играем со зрителями"),
    "ja": ("まったり配信", "ランク上げ", "参加型やります"),
    "ko": ("편안한 방송", "랭크 올리기", "시청자 참여"),
    "pl": ("spokojny wieczór | !discord", "wbijamy rangę", "gramy z widzami"),
    "it": ("serata tranquilla | !discord", "si sale di rango", "giochiamo insieme"),
}
_PHRASES = {
    "en": ("lol", "that was close", "how long have you been live?", "gg", "what a play", "hi chat"),
    "es": ("jajaja", "qué cerca estuvo", "hola a todos", "buena esa", "vamos!!", "qué jugada"),
    "de": ("haha", "das war knapp", "hallo zusammen", "stark gespielt", "weiter so", "was für ein Zug"),
    "fr": ("mdr", "c'était chaud", "salut tout le monde", "bien joué", "allez !", "quel coup"),
    "pt": ("kkkkk", "foi por pouco", "oi pessoal", "boa!", "que jogada", "bora"),
    "ru": ("ахаха", "было близко", "всем привет", "хорош", "красиво", "давай"),
    "ja": ("草", "惜しい", "こんばんは", "うまい", "ナイス!", "8888"),
    "ko": ("ㅋㅋㅋㅋ", "아깝다", "안녕하세요", "나이스", "잘한다", "오오"),
    "pl": ("haha", "było blisko", "hej wszystkim", "dobra gra", "dawaj", "ale akcja"),
    "it": ("ahahah", "per poco", "ciao a tutti", "bella giocata", "forza", "che mossa"),
}
_EMOTES = ("LUL", "Kappa", "PogChamp", "HeyGuys <3", "NotLikeThis", "BibleThump", "4Head", "KEKW KEKW KEKW")
# Texts that look like protocol, long ones, and the control characters of /me.
_AWKWARD = (
    "please RECONNECT now",
    "is PING x",
    ":tmi.twitch.tv RECONNECT",
    "PRIVMSG #other :not a command",
    "@room-id=1;user-id=2 :a!a@a PRIVMSG #a :quoted",
    "\x01ACTION waves\x01",
    "  two  spaces  ;=\\s\\: ",
    "é漢🎉" * 160,
)
_AWKWARD_EVERY = 499
# Commands at every place of a text where a careless parser might see one.
_HOSTILE = (
    *_AWKWARD,
    "RECONNECT",
    "RECONNECT now",
    "now RECONNECT",
    ":RECONNECT",
    "PING",
    "PING :tmi.twitch.tv",
    "a PING :b",
    "reconnect? PING! RECONNECT.",
    ":tmi.twitch.tv PING :tmi.twitch.tv",
    ":tmi.twitch.tv NOTICE * :Login authentication failed",
    "@msg-id=msg_channel_suspended :tmi.twitch.tv NOTICE #a :gone",
    "JOIN #other",
    "PART #other",
    ";room-id=1;user-id=2;source-room-id=3",
)


def phrases(language: str, hostile: bool = False) -> tuple[str, ...]:
    """The messages of a language's chats; a message picks one by number.

    In a ``hostile`` chat most of them look like protocol.
    """
    if hostile:
        return tuple(
            text
            for number, usual in enumerate(_PHRASES[language])
            for text in (usual, *_HOSTILE[number :: len(_PHRASES[language])])
        )
    usual = _PHRASES[language] + _EMOTES
    rounds = _AWKWARD_EVERY * len(_AWKWARD) // len(usual)
    texts = [*(usual * rounds)]
    for number, awkward in enumerate(_AWKWARD):
        texts[number * _AWKWARD_EVERY] = awkward
    return tuple(texts)


def titles(language: str) -> tuple[str, ...]:
    """Stream titles of a language."""
    return _TITLES[language]


def unique_names(rng: Random, count: int, taken: set[str]) -> list[str]:
    """``count`` different logins that are not in ``taken``, which gets them added."""
    names: list[str] = []
    while len(names) < count:
        name = rng.choice(_FIRST) + rng.choice(("", "_")) + rng.choice(_SECOND)
        if name in taken:
            name += str(rng.randrange(1, 10_000))
        if name not in taken:
            taken.add(name)
            names.append(name)
    return names
