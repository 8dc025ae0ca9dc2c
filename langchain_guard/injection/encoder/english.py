"""Whether a prompt is English: of English prompts the encoder reads few, of all others every one (see ``paired``).

`languages.language_of` names a language only when it is sure; short prompts ("How do I undo a commit?") leave it in
doubt.  Here doubt counts as English, so that no prompt goes to the encoder for being short or odd.
"""

from __future__ import annotations

import re
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ENGLISH: Final = _words(
    """
    a about above access account act add after again all also always an and another answer any anything are around as
    ask assistant at available away back be because been before being below best better between book both build but
    buy by bypass call can cannot card change check code command compare compute content could create data day define
    delete describe design details did difference disclose display do does doing done down each easy email english
    every everything example execute explain few file files find first fix following for forget found from function
    game generate get give given go going good got had has have he help her here him his history hotel how however i
    if ignore ignores improve in information input instructions into is it its just keep kind know language last let
    life like list long look made make many may me mean message might mode money more most much must my name need
    never new next no not nothing now number of off often old on one only open or order other our out output over own
    password pay people person phone place play please plot policy possible pretend previous print problem program
    provide put question questions read really reason recipe recommend remove reply respond restrictions return reveal
    review right role rules run said same save say says school security see send sentence set she short should show
    since so some someone something start step still stop story such suggest summarize summary system take talk tell
    test text than thanks that the their them then there these they thing things think this those through time times
    title to today too training translate tree turn two type under understand until up us use used user using
    very want was watch way ways we weather well were what when where which while who whose why will with within
    without won word words work working would write wrong year years yes yet you your yours
    """
)
"""Frequent words of English and of English prompts."""

_OTHER: Final = _words(
    """
    aan aber acest adalah af agli albo alla alle alleen alles ama anche anda ani ao aos apa au auch auf aus aux av
    avec az bagaimana bana bei bez bij bir bis bisa bitte bo bu ce ces cette che comme como con cosa cual cuando cui
    czy da daha dai dal dalla dans dari das dat de degli dei dein deine deinen deiner della delle dello dem den dengan
    der des det deve deze di dich dies diese din dir dit diye dla doch donde donne du durch een egy ei ein eine einem
    einen einer eines el ela ele ella eller ellos em en er eres es ese essa esse est esta este esto estos et ett euch
    ez fi finns foi fra fue gdzie geef geen gibi gli ha haar habe hace hangi hanno har hasta heb heeft het hij hoe
    hogy hur hvad hvem hvor hvordan ich icin ignora ignorez ihr ik ikke il ile ils inte isso ist itu ja jaar jag jak
    jako jaky je jeg jest jeszcze jetzt jij joka jou jouw jsem jsi jsou kadar kamu kan kann kde kdo ke kein keine
    kiedy ktery kto kuin la le les leur lo loro lub ma maar mai mais mas med meg mein meine mes meu mi mia mig mijn
    minha mio mir mis mit miten mitt moi moje mon mu muy na naar nach nas nasil ne nebo neden nel nella nelle nem ni
    nicht nie niet nog non nos nostro nous nu nur ob och od oder og ogni ohne olan olarak olen oli olla om onde ons
    onze ook op ou pada para pas pela pelo pero piu po poi por porque pour pourquoi przez przy puede quais qual quale
    quali quand quando quanto que quel quella quelle quelles quello quels quem questa questo qui quien rivela sa sans
    saya se sem semua sen ser seu seus si sich sie sind sinun sobre soll solo som sono sonra sont sotto sous su sua
    suas sul sulla sulle sunt suo sur ta tak te tego tem tes tidak toate todas todos toi tous tout toutes tra tu tua
    tudo tuo tus tutte tutti twoje tym uit um uma umas un una unas und une uno uns unter untuk vad vagy van veel vem
    vergiss voce vom von voor vor vos vostro votre vous vsechny waar waarom wann warum wat weet wenn wer werden wie
    wij wird wo worden wszystkie yang yeni za ze zijn zou zrob zu zum zur
    """
)
"""Frequent words of other languages in Latin script, without those that are English words or parts of commands too;
words with an accent count as well, see `is_english`."""

_TOKEN = re.compile(r"[^\W\d_]+")
_LAST_LATIN: Final = 0x24F
_READ: Final = 2000


def is_english(text: str) -> bool:
    """Whether nothing in the first 2,000 characters of *text* says that most of it is in another language.

    Args:
        text: A prompt in its normal form (see ``text.normalise``).

    >>> is_english("How do I undo a commit?"), is_english("kubectl get pods"), is_english("Qual è il comando?")
    (True, True, False)
    """
    words = _TOKEN.findall(text[:_READ].lower())
    if not text.isascii():
        letters = sum(map(len, words))
        other_script = sum(char > chr(_LAST_LATIN) for word in words for char in word)
        if other_script * 4 > letters:
            return False
    english = sum(word in _ENGLISH for word in words)
    other = sum(word in _OTHER or not word.isascii() for word in words)  # "café" and "Sánchez" need company
    return other == 0 or english > other
