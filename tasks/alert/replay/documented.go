package replay

// Documented are the tables, by name, of which stint makes something else than the original did, on purpose, and why.
// docs/alerts-differences.md says more of each; a test holds both to each other, and to the tables.
var Documented = map[string]string{
	"cardinality/late_event_overwrites_last_seen":       "otherwise a late event hides values that are there",
	"change/arrival_order_not_time_order":               "the order of arrival is chance, and differs from run to run",
	"flatline/query_key":                                "which key is the last is chance",
	"new_term/baseline_not_refreshed":                   "memory has bounds, and a restart must change nothing",
	"spike/zero_over_zero_fires":                        "nobody wants to be told of a spike of nothing",
	"engine/crash_after_send_realert_zero":              "once is once",
	"engine/crash_between_silence_and_send":             "nothing is lost",
	"engine/crash_between_two_channels":                 "one channel is not the other's business",
	"engine/flatline_restart_delays":                    "a deployment is no reason to be blind",
	"engine/frequency_scan_entire_timeframe_duplicates": "told once",
	"engine/new_term_before_first_run_missed":           "what is new is told",
	"engine/new_term_restart_swallows_term":             "what is new is told",
	"engine/one_of_two_channels_fails_is_lost":          "one channel is not the other's business",
	"engine/realert_not_persisted_when_writeback_down":  "told once, a little later",
	"engine/restart_then_query_failure_loses_window":    "nothing is lost",
	"engine/two_copies_after_realert":                   "told once",
	"engine/two_copies_frequency":                       "told once",
	"engine/two_copies_realert_zero":                    "told once",
}
