"""Paragraphs with everything that is hard to join again, written for these tests: {language: paragraphs}.

Quotation marks are the typographic ones of the language; `straight` makes plain ones of them.
"""

import re

ENGLISH = """
“Don’t go,” said Mrs. Allen; “you can’t mean it! It’s only two o’clock.”

“‘Tis true,” he cried—“’twas the Musgroves’ carriage. I’d know it anywhere.”

‘Well,’ said the captain, ‘I’ve seen worse.’ And he went below.

The ’90s were the years of rock ’n’ roll’s children; so they said, at least.

She wrote to me@home.example and to jane.doe@mail.example.org, but nobody was “@ home” that day: me @ home, you @ work.

See http://www.gutenberg.org/files/158/158-h/158-h.htm#link2HCH0001, or https://example.com/a?b=1&c=2%20d. It’s free!

Let f(x) = g(x, y) + h[i]; then f(0) < 1, and a*b > c/d. (Proof: omitted.)

He waited ... and waited... and “waited . . .” until—at last … it came. “Oh…” she said.

The years 1810–1812 – or were they 1811–13? – were quiet -- too quiet--for Mr. D----, of ----shire.

“What?” he asked. “You want $3.50, £2 6s., or 50% of #1? Make it 50 % and €4.”

“Of course,” &c. &c. The firm of Smith & Sons (R&D, AT&T) agreed.

“He said, ‘I won’t!’ and left,” she told us. “‘Go,’ I said.”

“Where are you going,” he asked, “and why?” Nobody knew [not even I]. {Nobody.}

Ah! how well I remember it! Great fun!!! Really?! No...

The Joneses’ dogs and James’s cat—d’ye see?—were “friends”; weren’t they?

I cannot, can not, will not: gonna, gimme, wanna; I dunno, y’all. More’n that I can’t say.

At 10:30 a.m. on 3/4/1811 (a Sunday), 1,000 people—1,234.5 on average—came. Ratio 3:1; 5'10" tall.

He’d “read” _Emma_, *Persuasion* and “Northanger Abbey”; she’d read <b>nothing</b>.

“My dear,” said he,--“my dear!”--but she was gone. “And so--” he sighed.

“Is it a ‘no’?” “It is.” “Oh!” ’Twas over.
"""
GERMAN = """
„Komm doch herein“, sagte die Mutter. „Es ist kalt.“ Er kam.

»Was willst du?«, fragte er. »Nichts«, sagte sie, »gar nichts.«

„Er hat gesagt: ‚Ich komme nicht.‘ Und dann ging er“, erzählte sie.

Hast du’s gesehen? So ’ne Sache! Müller’s Laden hat’s. Hans’ Hut auch.

Der Preis stieg um 50 % auf 3,50 € – das sind 1.000 Mark (ca. 20%) mehr.

„Wo bist du?“ – „Zu Hause …“, kam es leise. »Allein …?« »Ja!«

Das Buch „Die Leiden des jungen Werthers“ (1774) – wer kennt es nicht? – steht auf http://www.projekt.example/goethe/werther.html.

Schreib an post@verlag.example! Oder ruf an: 030/12 34 56; z. B. um 8:30 Uhr.

»Ach!«, rief sie, »wie schön!« Da lachte er ... und ging.

Die Nord-/Süd-Bahn fährt Mo.–Fr., d. h. werktags, §§ 1–3 und Nr. 5.

„Und nun?“, fragte Anna. „Nun“, sagte Karl, „nun warten wir.“

Er dachte: »Warum ›nur‹ ich?« Dann schlief er ein.
"""
FRENCH = """
« Où vas-tu ? » demanda-t-il. « À Paris ! » dit-elle. L’homme rit.

— C’est l’heure, dit Marie ; partons. Qu’en dis-tu ?

« Je n’ai rien vu », répondit-il : « rien du tout. »

«Viens!» cria-t-elle. «Aujourd’hui, c’est dimanche.»

Il y avait 50 % d’eau, 3,50 € de pain et 1 000 francs (environ) : trop !

Voir https://fr.example.org/wiki/Émile_Zola ou écrire à zola@medan.example ; merci…

« Ah ! dit-il, que c’est beau… » Elle se tut… puis : « Oui. »

Le XIXᵉ siècle — celui de Hugo, de Balzac, etc. — finit vers 1900. Jusqu’à 20 h 30 ?

“Non”, dit l’Anglais, “jamais !” Et l’on rit : ha ! ha ! ha !

« Il m’a dit : “Reste !” et je suis restée. » Voilà tout…

D’abord, qu’est-ce que c’est ? L’œuvre n° 5 (op. cit., p. 12-13) d’Édouard.

Presqu’île, entr’acte, prud’homme : « Les mots s’usent », écrivait-elle.
"""


def split_paragraphs(text: str) -> list[str]:
    return text.strip().split("\n\n")


def straight(paragraph: str) -> str:
    """Returns the paragraph with plain marks."""
    paragraph = re.sub("[«»“”„]", '"', paragraph)
    paragraph = re.sub("[’‘‚›‹]", "'", paragraph)
    return paragraph.replace("…", "...")


PARAGRAPHS = {
    f"{language} {marks}": [change(paragraph) for paragraph in split_paragraphs(text)]
    for language, text in [("English", ENGLISH), ("German", GERMAN), ("French", FRENCH)]
    for marks, change in [("typographic", str), ("straight", straight)]
}
PARAGRAPHS["French straight"] = [straight(p.replace("« ", "«").replace(" »", "»")) for p in split_paragraphs(FRENCH)]
PARAGRAPHS["French no-break"] = [
    re.sub(" ([?!:;»%€])", "\u00a0\\1", p.replace("« ", "«\u202f")) for p in split_paragraphs(FRENCH)
]
