package dedupe

// The names of the outputs. A dedupe has the first three; a deletion, and a dedupe with Apply, the others.
const (
	OutputAnalysis  = "analysis.jsonl"
	OutputCSV       = "analysis.csv"
	OutputSummary   = "summary.txt"
	OutputDeletions = "deletions.jsonl"
	OutputDeleted   = "deletions.txt" // the summary of a deletion
)
