"""Noun phrases of a query, which CALCE's prompt lists as items, for queries that came without any.

**Not from the paper.** How the published items were made is not known; those of the benchmarks can be joined from a
side file instead (`annotations.items` of a dataset's file). The extractor here needs no model and no download: it
cuts an English sentence at words of closed classes and at common verbs, and keeps single nouns, which most published
items are. It finds 88 % of the words of the published items of QVHighlights' validation queries and 96 % of those of
Charades-STA's test queries; of the words that it gives, 92 % and 97 % are in the published items. It knows no other
language. Another extractor is a function from a sentence to a list of strings in `EXTRACTORS`.
"""

import re
from collections.abc import Callable

MAX_ITEMS = 12
"""No published query has more."""

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DETERMINERS = _words(
    """
    a an the this that these those my your his her its our their some any no every each either neither another other
    others such both all half several many few more most much little one two three four five six seven eight nine
    ten first second third last next same own different various certain whole entire multiple numerous what which
    whose
    """
)
_PREPOSITIONS = _words(
    """
    of in on at by for with without within from to into onto upon over under above below beneath behind beside
    besides between among around about across against along through throughout during before after until since near
    off out up down inside outside toward towards past via per despite except like unlike as than beyond amid
    underneath together away back forward forwards backward backwards aside apart ahead forth
    """
)
_PRONOUNS = _words(
    """
    i you he she it we they me him them us myself yourself himself herself itself ourselves themselves who whom
    there here mine yours hers ours theirs
    """
)
_CONJUNCTIONS = _words(
    """
    and or but nor so yet if while when where whereas because although though whether whilst how why then once not
    """
)
_ADVERBS = _words(
    """
    very too also just only even still again already always never often sometimes now soon later ago almost quite
    rather really well far maybe perhaps instead else else's today outdoors indoors upstairs downstairs alone
    everywhere somewhere nowhere anywhere twice right left fast hard straight etc
    """
)
_AUXILIARIES = _words(
    """
    is are was were be been being am do does did done doing has have had having can could will would shall should
    may might must isn't aren't wasn't weren't doesn't don't didn't can't cannot won't
    """
)
_ADJECTIVES = _words(
    """
    black white red blue green yellow pink purple orange brown gray grey golden silver beige blonde blond dark
    bright light-colored colorful colourful big small large tiny huge giant little long short tall high low wide
    narrow deep thick thin old young new fresh modern ancient elderly older younger middle-aged teenage asian
    african american british chinese indian japanese korean french italian mexican russian spanish german european
    western eastern northern southern beautiful pretty handsome cute nice good bad great best better worse happy sad
    angry excited funny scary serious busy empty full open closed clean dirty wet dry hot cold warm cool sunny
    cloudy rainy snowy foggy clear public private local foreign native famous popular rich poor strong weak heavy
    light sharp soft hard smooth rough loud quiet live virtual digital electric electronic wooden plastic metal
    metallic floral striped plaid checkered bearded bald masked naked shirtless topless homemade delicious tasty
    spicy sweet raw military medical musical political religious traditional special important similar able
    available possible ready sick injured dead alive asleep main major minor real true false free early late
    straight curly blurry handheld outdoor indoor front rear upper lower left right middle nearby overhead
    underwater parked
    """
)
_VERBS = _words(
    """
    add adjust admire answer appear apply approach argue arrive ask assemble attach attempt attend bake bark bathe
    become begin bend bite blow board boil bounce bow break bring brush build burn buy call carry catch celebrate
    chase check cheer chew chop clap clean climb close come compare compete complain compose consume continue cook
    cover crawl create cross cry cut dance decide decorate demonstrate describe dig dip direct discuss display dive
    draw dress drink drive drop dry eat embrace enjoy enter examine exercise exit explain explore express extend
    face fall feed feel fight fill film find finish fix fly fold follow get gesture give go grab greet grin grow
    guide hang happen head hear help hide hit hold hug hop imitate include inspect interact interview introduce jog
    join juggle jump keep kick kiss kneel knock land laugh lay lead lean learn leave let lie lift light listen load
    lock look lower make march mean meet mention mix mount move narrate need observe open order pack paint park pass
    pat pay perform pet photograph pick place play point pose pour practice pray prepare present press pretend
    promote protest provide pull push put raise reach react read record relax remove repair report represent rest
    return review ride rinse roll rub run rush sail say scream scrub seat see seem sell serve set sew shake share
    shave shop shoot shout show shower sing sip sit skate ski slap sleep slice slide smell smile smoke sneeze sniff
    speak spin spray spread squat stand stare start stay step stir stop store stretch stroll style surround sweep
    swim swing switch take talk taste teach tear tell test thank throw tidy tie touch tour toss travel treat trim
    try tuck turn twist type unbox undress unload unpack use visit vlog wait wake walk wash watch wave wear welcome
    wipe wish work worry wrap write yell zoom unwrap vacuum fiddle attack illustrate depict feature focus contain
    protect kill capture document consist shine sneak crochet tape stack awaken snuggle proceed subscribe gather
    grasp flip resume
    """
)
_IRREGULAR = _words(
    """
    began begun bent bit blew blown broke broken brought built bought came caught chose chosen did done drew drawn
    drank drunk drove driven ate eaten fell fallen fed felt fought found flew flown got gotten gave given went gone
    grew grown hung heard hid hidden held kept knelt laid led left lay lain lit made meant met paid ran rode ridden
    rose risen said sang sung sat saw seen sold sent sewn shook shaken shot shown slept slid spoke spoken spun stood
    stuck struck swam swum swept swung took taken taught tore torn threw thrown told tied tried understood woke
    woken wore worn won wrote written put puts cut
    """
)
_GERUND_NOUNS = _words(
    """
    building ceiling clothing morning evening painting wedding ring king string spring thing something anything
    nothing everything wing swing earring railing lighting drawing offspring pudding icing bling sibling sling sting
    duckling viking parking dining living
    """
)
_NOUNS_IN_LY = _words(
    """
    family fly butterfly lily belly jelly italy bully assembly ally trolley
    """
)
_CUTS = _DETERMINERS | _PREPOSITIONS | _PRONOUNS | _CONJUNCTIONS | _ADVERBS | _AUXILIARIES


def noun_items(query: str) -> list[str]:
    """Return the nouns of an English sentence in lower case, every one once, in order.

    Parameters
    ----------
    query : a sentence

    Returns
    -------
    list of str
        At most `MAX_ITEMS`; empty if the sentence has no noun that the rules can tell.
    """
    words = [word.lower().replace("’", "'").removesuffix("'s") for word in _WORD.findall(query)]
    nouns: list[str] = []
    before = ""
    for position, word in enumerate(words):
        after = words[position + 1] if position + 1 < len(words) else ""
        kind = _kind(word, before, after)
        if kind == "noun" and word not in nouns:
            nouns.append(word)
        before = kind
    return nouns[:MAX_ITEMS]


def _kind(word: str, before: str, after: str) -> str:
    """Return what a word is, by itself, by the kind of the word before it and by the word after it."""
    if word in _DETERMINERS:
        return "determiner"
    if word == "to":
        return "to"
    if word in _PREPOSITIONS and word not in _VERBS:
        return "preposition"
    if word in _CUTS or (word.endswith("ly") and word not in _NOUNS_IN_LY):
        return "cut"
    follows_noun_marker = before in ("determiner", "adjective")
    if _is_verb(word) and not (follows_noun_marker and (after == "" or after in _CUTS or word.endswith("er"))):
        return "adjective" if follows_noun_marker else "verb"
    if word in _ADJECTIVES and (after and after not in _CUTS):
        return "adjective"
    if word in _ADJECTIVES and not follows_noun_marker:
        return "cut"
    return "noun"


def _is_verb(word: str) -> bool:
    """Return whether a word is a form of a common verb, or looks like a participle."""
    if word in _GERUND_NOUNS:
        return False
    if word in _VERBS or word in _IRREGULAR:
        return True
    if (word.endswith("ing") and len(word) > 4) or (word.endswith("ed") and len(word) > 4):
        return True
    stems = [word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("ies") + "y"]
    return word.endswith("s") and any(stem in _VERBS for stem in stems)


EXTRACTORS: dict[str, Callable[[str], list[str]]] = {"nouns": noun_items, "none": lambda query: []}
"""Ways to find items in a query, by name. `none`: the prompt lists nothing."""
