"""What the voices of the speech benchmark say, in two groups that share no text."""

TEXT = (
    "The ferry to the island leaves the harbour twice a day. In winter the sea is often too "
    "rough, and the passengers wait in the small cafe beside the ticket office. Last Thursday "
    "a young teacher told the captain that her suitcase was missing. He looked under every "
    "bench, behind the engine and between the wooden boxes, but he found only an umbrella. "
    "When the storm was over they crossed the water together. On the other side her brother "
    "stood in the rain, and in his hand he held the suitcase that she had forgotten at home. "
    "They laughed about it for the whole evening, drank hot chocolate in front of the fire, "
    "and decided to travel to the mountains in the spring."
)
_BAKERY = (
    "Margaret Collins opened her bakery in Leeds on the third of March, with forty loaves, two "
    "ovens and a loan of nine thousand pounds. For the first six weeks she slept five hours a "
    "night. Her neighbour, Mr. Patel, sold newspapers next door and sent her every customer who "
    "asked him for breakfast. By the end of the summer she needed help, so she hired a student "
    "called Daniel, who was good with numbers and hopeless with dough. He noticed that they threw "
    "away twelve loaves every Monday, and that nobody ever bought the ones with olives. They "
    "baked less on Mondays and forgot about the olives. In October a woman from a hotel ordered "
    "three hundred rolls for a wedding. The big oven broke on the evening before. Daniel rang "
    "every school in the city until a cook in Bradford let them use her kitchen, and they drove "
    "there in the dark with the dough in the back of the car. The last tray came out at twenty "
    "past seven. The bride never knew, but the hotel has ordered its bread from them ever since, "
    "and above the counter hangs a photograph of two tired people covered in flour."
)
_GARDEN = (
    "Before you plant tomatoes, look at the soil. If it is hard and pale, dig in some compost and "
    "wait for a week. Put the young plants about fifty centimetres apart, in the sunniest corner "
    "that you have. Water them early in the morning, never on the leaves, and tie each stem to a "
    "stick as it grows. In July you can expect the first fruit. Leave the green ones on a window "
    "sill beside an apple, and they will turn red in four or five days."
)
HELD_OUT_TEXT = (
    "The island was first described by a Portuguese captain in the summer of a stormy year. He "
    "reported steep cliffs, a single beach of grey stones, and thousands of birds that did not "
    "fear his sailors. Today about two hundred people live there, most of them in one village. "
    "They grow potatoes, catch lobsters, and knit heavy sweaters for tourists. A supply ship "
    "arrives nine times a year, unless the waves are too high for the small boats. There is one "
    "policeman, but the prison is used for storing onions. In the evening, when the generator "
    "stops at eleven, the stars are so bright that you can read the headlines of a newspaper by "
    "their light."
)
_RAILWAY = (
    "My grandfather worked on the railway between Edinburgh and Newcastle for thirty eight years. "
    "He began as a cleaner at the age of sixteen, became a fireman, and drove his first express "
    "in the spring after the war. He knew every bridge and every signal on the line, and he said "
    "that he could tell by the smell of the fields where he was in the fog. On Sundays he took me "
    "to the station and explained the engines to me, one by one. The green ones were fast, the "
    "black ones were strong, and the old blue one in the shed was called Victoria and was not "
    "allowed to leave. When I was eight he lifted me into her cab and let me pull the whistle. My "
    "mother heard it at home, half a mile away, and was angry with both of us. Last year I found "
    "Victoria again in a museum near York. She had been painted, and a sign asked visitors not to "
    "touch anything. I waited until the guard, a man of about seventy, had turned round. Then I "
    "saw that he was smiling. He had started at the same shed in the same summer, and he "
    "remembered that whistle too."
)
_CLINIC = (
    "The clinic on Station Road is open from Monday to Friday, between eight in the morning and "
    "half past six. Please bring your insurance card and a list of the medicines that you take. "
    "If you cannot come, ring us at least one day before. Doctor Susan Walker sees children on "
    "Wednesday afternoons. For test results call after two o'clock and ask for the nurse. There "
    "are fifteen parking spaces behind the building, and the number eleven bus stops at the door."
)
TEXTS = (TEXT, _BAKERY, _GARDEN)
HELD_OUT_TEXTS = (HELD_OUT_TEXT, _RAILWAY, _CLINIC)
"""Nobody tunes on these."""
