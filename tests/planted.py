"""Twenty made-up papers that each have an idea already, and ideators that propose it again.

A paper is on another matter, and does what the idea proposes in other words and in one sentence of
its method section alone.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from scholar.library import Entry
from scholar.library.passages import cut
from scholar.readers.document import Block, Document, place
from scholar.values import Paper


@dataclass(frozen=True)
class Planted:
    """A paper with the sentence `done` in its method, and the idea that would repeat it."""

    title: str
    abstract: str
    before: str
    done: str
    after: str
    results: str
    idea: str
    proposes: str
    claim: str

    @property
    def id(self) -> str:
        return f"file:{hash_of(self.title):08x}"

    @property
    def method(self) -> str:
        """The whole method section."""
        return " ".join((self.before, *DETAILS[:5], self.done, self.after, *DETAILS[5:]))

    @property
    def entry(self) -> Entry:
        headed = (
            ("Abstract", self.abstract),
            ("1 Introduction", f"{self.abstract} {OPENING}"),
            (
                "2 Method",
                " ".join((self.before, *DETAILS[:5], self.done, self.after, *DETAILS[5:])),
            ),
            ("3 Results", " ".join((self.results, *FINDINGS, CLOSING))),
        )
        blocks = [
            block for name, text in headed for block in (Block(name, heading=True), Block(text))
        ]
        text, _, sections = place(blocks)
        document = Document(text, self.title, sections=sections)
        return Entry(Paper(self.id, self.title, year=2023), text, cut(self.id, document))


def hash_of(text: str) -> int:
    """The same in every process."""
    return zlib.crc32(text.encode())


OPENING = (
    "Much has been tried before, mostly on larger data and in one language. What is missing is an "
    "account of how far simple means go and where they fail, which is what we set out to give. "
    "We describe the setting, the data and the questions that we ask of them in turn, and then say "
    "what we have learned from the mistakes that were made. The work was done with partners from "
    "practice who took part from the first month on, and who decided what was worth measuring."
)
DETAILS = (
    "All text is normalised and split into sentences before anything else is done with it.",
    "The networks are transformers of twelve layers, tuned for three epochs as is usual.",
    "Batches have 32 items, and the best of five checkpoints is chosen on held-out data.",
    "Where nothing else is said, settings are those of the public code.",
    "Everything runs on a single card within a day, so that partners can repeat it.",
    "Preliminary trials with other settings changed little and are left out here.",
    "The order in which these steps are taken was fixed before the data had been seen.",
    "A colleague who had no part in the work checked the code of each step.",
    "Items that could not be processed at all were few, and they count as errors below.",
)
FINDINGS = (
    "The baseline of the earlier literature comes out lower than reported, as others have found.",
    "Differences between parts of the data are large, and the smallest part gains the least.",
    "An analysis of two hundred errors shows that most of them come from names and rare words.",
    "Leaving out single steps lowers the result by one to three points each.",
    "Partners mention speed and the chance to object as what mattered most to them.",
)
CLOSING = "All figures are means over five seeds, and the code will be made available."

PLANTED = (
    Planted(
        "Summaries of Council Minutes for Citizens",
        "Citizens rarely read the minutes of town councils. We collect minutes of forty towns and "
        "train a system that summarises them in plain language.",
        "Minutes are split by agenda item and each item is passed to the summariser.",
        "A draft line is thrown out when a second network, asked to answer questions formed from "
        "that line, replies differently from the line and from the minutes.",
        "What remains is joined in the order of the agenda and shown with links to the items.",
        "Readers prefer our text to the minutes in 71 % of cases.",
        "Filtering unfaithful summary sentences by question answering",
        "Generate questions from each sentence of a summary, answer them once from the summary and "
        "once from the source, and remove sentences whose two answers disagree.",
        "A sentence of a summary is removed when answers to questions made from it differ between "
        "the summary and the source document.",
    ),
    Planted(
        "A Corpus of Spoken Recipes in Four Dialects",
        "We present recordings of cooks who explain recipes in four dialects, with transcripts, "
        "and report how well recognisers cope with them.",
        "Recordings were cut at pauses and transcribed twice by speakers of the dialect.",
        "Clips on which two recognisers trained apart gave the least similar transcripts went to "
        "the transcribers first.",
        "The work stopped when the budget of three hundred hours was used up.",
        "Word error rates range from 14 to 39 depending on the dialect.",
        "Active learning for speech by disagreement of models",
        "Choose which audio to annotate by how strongly an ensemble of speech recognition models "
        "disagrees about its transcription, and label the audio with most disagreement first.",
        "Audio clips are selected for annotation by the disagreement between transcripts of "
        "independently trained recognisers.",
    ),
    Planted(
        "Question Routing in a Library Help Desk",
        "A help desk of a university library receives thousands of questions. We study how they "
        "can be sent to the right desk at once.",
        "Each question is embedded and compared with those answered in earlier years.",
        "When the closest earlier questions had been settled at different desks, the large model "
        "is consulted; otherwise the small one decides alone.",
        "The rule was tuned on the questions of one spring.",
        "Forwarded questions fall by a third.",
        "Cascading language models by neighbourhood purity",
        "Call an expensive language model only if the nearest neighbours of the input in the "
        "training set carry mixed labels, and let a cheap model answer all other inputs.",
        "The choice between a small and a large model depends on whether the labels of the nearest "
        "training examples agree.",
    ),
    Planted(
        "Reading Aids for Legal German",
        "Contracts are hard to read for lay people. We test three reading aids with sixty readers "
        "and measure what they remember.",
        "Clauses were simplified by a sequence model trained on news.",
        "During training the share of long words in the target text was given to the network as an "
        "extra first symbol, which we then set to the lowest value when it was used.",
        "Names of parties and sums were copied without change.",
        "Readers answer 22 % more questions correctly with the second aid.",
        "Controlling simplification by a complexity prefix token",
        "Prepend a token that encodes lexical complexity of the output to the input of a text "
        "simplification model while training, and choose a low complexity token at inference.",
        "A control token with the complexity of the target sentence steers how simple the output "
        "of a simplification model is.",
    ),
    Planted(
        "Mapping Place Names in Travel Diaries",
        "Travel diaries of the nineteenth century mention places by names that have changed. We "
        "link them to a gazetteer and draw routes.",
        "Names were found by a tagger and candidates taken from the gazetteer.",
        "Among candidates we prefer the one whose distance from the place mentioned before could "
        "have been covered in the days between the two entries.",
        "The remaining doubtful names were shown to two historians.",
        "We place 83 % of the names within ten kilometres.",
        "Toponym disambiguation by feasible travel",
        "Resolve an ambiguous place name in a journey narrative by checking that travel from the "
        "previous location is physically possible in the elapsed time.",
        "Candidate locations for a place name are ranked by whether a traveller could reach them "
        "from the previously mentioned place in the time that passed.",
    ),
    Planted(
        "Teaching Chemistry with Conversational Tutors",
        "Tutoring systems that converse help pupils, but they give answers away. We build a tutor "
        "for chemistry and try it in twelve classes.",
        "The tutor sees the task, a worked solution and what the pupil has typed.",
        "Its reply is written several times, and the one after which a simulated pupil most often "
        "solves the next task by itself is sent.",
        "Teachers could read along and step in.",
        "Pupils with the tutor gain 0.4 standard deviations.",
        "Choosing explanations by the success of a student model",
        "Sample multiple explanations, give each to a student language model, and select the "
        "explanation that leads the student to the highest accuracy on follow-up problems.",
        "Explanations are selected by how well a student model performs on subsequent problems "
        "after having received them.",
    ),
    Planted(
        "Monitoring River Levels from Citizen Reports",
        "Citizens report river levels by short messages. We turn them into series that "
        "hydrologists can use, and compare these with gauges.",
        "Messages were normalised and numbers and units extracted from them.",
        "Each sender was given a weight that fell whenever a report lay far from what the senders "
        "nearby had written on the same day.",
        "Series were smoothed with a window of three days.",
        "The correlation with gauges is 0.88 on the lower course.",
        "Estimating annotator reliability from spatial consensus",
        "Weight crowd workers by agreement with geographically close workers at the same time, "
        "decreasing the reliability of those who deviate from their neighbours.",
        "The reliability of a crowd contributor is estimated from deviation to contributions of "
        "neighbours in space and time.",
    ),
    Planted(
        "Compact Keyboards for Minority Scripts",
        "Phones lack keyboards for many scripts. We describe layouts for nine scripts and how "
        "quickly people learn them.",
        "Layouts were searched for with simulated annealing on counts of letter pairs.",
        "Where a language had less than a megabyte of text, its letter pairs were counted in text "
        "of a related language, rewritten by rules of sound correspondence.",
        "Layouts were then tested by eight typists each.",
        "Typing speed reaches 80 % of that on the majority keyboard after a week.",
        "Pseudo-data for low-resource languages by phonological rewriting",
        "Create training text for a low-resource language by applying phonological correspondence "
        "rules to a corpus of a high-resource sister language.",
        "Text of a related high-resource language is transformed with sound correspondence rules "
        "to replace missing data of a low-resource language.",
    ),
    Planted(
        "Detecting Plagiarism in Programming Courses",
        "Solutions to programming tasks resemble each other without copying. We ask how copies can "
        "still be told from chance likeness.",
        "Programs are normalised and cut into short sequences of tokens.",
        "A sequence counts the less the more often a language model, asked for a solution of the "
        "task, produces it by itself.",
        "Pairs above a threshold are shown to the lecturer.",
        "Two thirds of false alarms vanish at equal recall.",
        "Discounting expected code in similarity by sampling a model",
        "Sample many solutions from a code model and downweight n-grams that are frequent in the "
        "samples when computing the similarity of student submissions.",
        "Token n-grams are weighted inversely to their frequency in solutions generated by a "
        "language model when code similarity is computed.",
    ),
    Planted(
        "An Archive of Radio News with Time Stamps",
        "We open an archive of radio news and report on how its items were dated, for dates were "
        "often missing from the tapes.",
        "Items were transcribed and events in them linked to an encyclopedia.",
        "Undated items were put between the two dated ones to whose vocabulary of the week theirs "
        "came closest.",
        "Archivists checked a sample of five hundred.",
        "Nine of ten items are dated to within four days.",
        "Temporal grounding of documents by drifting word usage",
        "Predict the publication time of a document from the similarity of its word distribution "
        "to documents with known dates around it.",
        "A document without a date is dated by the similarity of its vocabulary to that of dated "
        "documents of the same weeks.",
    ),
    Planted(
        "Alt Texts for Museum Collections",
        "Images of museum collections lack descriptions for blind visitors. We write them with "
        "curators and a captioning system.",
        "The system describes the image; curators correct what it says.",
        "After every hundred corrections the words that curators most often struck out were "
        "forbidden to the decoder for objects of the same department.",
        "A glossary of materials was supplied to it from the start.",
        "The time for one text falls from six minutes to two.",
        "Learning negative lexical constraints from post-edits",
        "Collect the tokens that human editors delete from model output and add them as negative "
        "constraints in decoding for inputs of the same category.",
        "Words frequently deleted by human post-editors become negative constraints in decoding "
        "for similar inputs.",
    ),
    Planted(
        "Predicting Hospital Stays from Nursing Notes",
        "Nursing notes foretell how long patients stay. We compare ways of reading them on notes "
        "of two hospitals.",
        "Notes were stripped of names and split by shift.",
        "To keep the network from leaning on the habits of one ward, it was punished for every "
        "sign by which the ward could be told from its inner state.",
        "Stays were grouped into four classes.",
        "Accuracy on the second hospital rises by six points.",
        "Adversarial removal of department information from clinical text models",
        "Train an encoder of clinical notes with an adversarial loss so that a classifier cannot "
        "recover the hospital unit from the hidden representation.",
        "An adversarial objective removes information on the originating unit from the hidden "
        "representation of clinical notes.",
    ),
    Planted(
        "Searching Patents by Drawings and Claims",
        "Patent examiners search by claims and by drawings. We combine both in one index of two "
        "million patents.",
        "Claims were parsed into elements, and drawings into labelled parts.",
        "For training, a claim of the cited patent was made into a wrong answer by exchanging one "
        "of its elements for that of a neighbour in the same class.",
        "Rankings were fused with equal weights.",
        "Examiners find the cited patent among the first ten in 64 % of cases.",
        "Hard negatives for retrieval by swapping components",
        "Construct hard negative documents for contrastive training of a retriever by replacing a "
        "single component of the positive with one from a similar document.",
        "Hard negatives for dense retrieval are created by replacing one element of a positive "
        "text with an element of a similar text.",
    ),
    Planted(
        "Subtitles for Live Sport",
        "Subtitles for live sport come late and with errors. We study how delay and errors trade "
        "off for viewers.",
        "Speech is recognised in pieces of two seconds and corrected by a second pass.",
        "The second pass is left out as long as the recogniser gives its first and its second "
        "guess very different chances.",
        "Names of players are taken from the line-up.",
        "Viewers forgive errors more readily than delay.",
        "Skipping rescoring by confidence margin",
        "Run the second pass rescoring of a streaming speech recogniser only if the margin between "
        "the top two hypotheses is small.",
        "Second-pass rescoring in streaming recognition is skipped when the probability margin "
        "between the two best hypotheses is large.",
    ),
    Planted(
        "Grading Essays in Three School Systems",
        "Essay graders trained in one school system fail in another. We document this for three "
        "systems and forty prompts.",
        "Essays were graded by two teachers of the system they were written in.",
        "We let the grader see for each essay two others of the same class, one graded just above "
        "and one just below its first estimate, and estimate once more.",
        "Grades were mapped to a common scale at the end.",
        "Agreement with teachers rises from 0.61 to 0.70.",
        "Iterative scoring with adaptively retrieved anchors",
        "Refine the automatic score of an essay by retrieving reference essays whose scores "
        "bracket the initial prediction and scoring again with them in context.",
        "Essay scores are refined by retrieving graded essays slightly better and slightly worse "
        "than the initial prediction.",
    ),
    Planted(
        "A Survey Instrument for Trust in Translation",
        "How far do people trust machine translation? We develop a questionnaire and validate it "
        "with nine hundred participants.",
        "Participants saw translations of messages from a bank, a doctor and a friend.",
        "Half of them saw words underlined that had come out otherwise when the source was "
        "rephrased by a paraphraser before it was translated.",
        "Trust was measured before and after the errors were revealed.",
        "Underlining lowers misplaced trust by a fifth.",
        "Marking unstable translations by input paraphrasing",
        "Paraphrase the source sentence, translate all paraphrases, and highlight target words "
        "that vary between the translations as uncertain.",
        "Uncertain words in machine translation are detected by comparing translations of "
        "paraphrases of the source sentence.",
    ),
    Planted(
        "Dialogue Acts in Emergency Calls",
        "Emergency calls are short and tense. We annotate dialogue acts in eight hundred calls and "
        "learn to recognise them.",
        "Two dispatchers annotated each call after a training of three days.",
        "Where they differed, both labels were kept, and the network was made to reproduce how the "
        "votes were split and not which side had won.",
        "Calls under ten seconds were left out.",
        "Acts are recognised with an F1 of 0.77.",
        "Soft labels from annotator disagreement",
        "Train a classifier on the distribution of annotator labels with cross entropy instead of "
        "the majority label, so that disagreement is learned.",
        "A classifier is trained on the distribution of labels of the annotators instead of on the "
        "majority vote.",
    ),
    Planted(
        "Keeping Encyclopedia Tables up to Date",
        "Tables in encyclopedias grow stale. We find which cells are out of date and propose new "
        "values with sources.",
        "Cells were aligned to statements of a knowledge base and to news.",
        "How soon a cell is looked at again follows from how often cells of the same column have "
        "changed in the history of the page.",
        "Editors accept or reject what is proposed.",
        "Editors accept 58 % of the proposals.",
        "Scheduling knowledge updates by column volatility",
        "Estimate the change rate of each attribute from its revision history and schedule "
        "re-verification of facts in proportion to the rate.",
        "Re-verification of facts is scheduled by the change rate of their attribute, estimated "
        "from revision history.",
    ),
    Planted(
        "Folk Tales across Borders",
        "Tales travel between languages. We trace two hundred tale types through eleven "
        "collections and find how they change.",
        "Tales were segmented into episodes by annotators and by a model.",
        "To see which episodes belong together, we hid one and asked a model to tell it from those "
        "left; the easier this was, the closer we tied it to them.",
        "The resulting graphs were compared between collections.",
        "Closeness of collections follows trade routes more than language families.",
        "Measuring narrative cohesion by predictability of removed scenes",
        "Mask one scene of a story, let a language model reconstruct it from the other scenes, and "
        "use the reconstruction loss as an edge weight between scenes.",
        "The relatedness of story scenes is measured by how well a language model reconstructs a "
        "masked scene from the others.",
    ),
    Planted(
        "Energy Reports of Small Firms",
        "Small firms report their energy use in free text. We extract figures from reports in six "
        "languages and audit them.",
        "Reports were scanned, recognised and split at headings.",
        "A figure was believed only if another run of the extractor over the report with its "
        "sections in a different order brought it out again.",
        "Units were converted to megawatt hours.",
        "Auditors correct 4 % of the figures.",
        "Self-consistency of extraction under document permutation",
        "Run information extraction several times with shuffled paragraphs of the document and "
        "keep the values that are extracted under all permutations.",
        "Extracted values are validated by repeating the extraction on permutations of the "
        "document's sections and keeping what is stable.",
    ),
)
