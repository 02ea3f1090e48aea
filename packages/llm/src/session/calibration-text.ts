/** A text to compare two precisions on: prose, figures, names, a list and code, as prompts have them. */
export const CALIBRATION_TEXT = `The harbour town had two clocks, and they had never agreed. The one on the church was
slow by eleven minutes in winter and by four in summer; the one over the customs house was right, but nobody could see
it from the water. When the ferry came in at 7:40 on the 3rd of March, its captain looked up at the church, as captains
had done since 1816, and wrote 7:29 in the log.

"You could set it right," said the new clerk, who had come from the capital and still believed in such things.

"I could," said the sexton. "And then every letter, every tide table and every marriage in this town would be wrong."

Three things were known about the keeper of the customs house: he took no sugar, he played the viola, and he had once
paid 1,250 crowns for a map of an island that did not exist. Asked why, he said that the coastline was very well drawn.

Ingredients for four: 500 g of flour, 2 eggs, 150 ml of milk, a pinch of salt. Mix, rest for 30 minutes, and bake at
180 degrees until golden.

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
`;
