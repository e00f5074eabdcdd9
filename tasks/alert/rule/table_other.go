package rule

import (
	"cmp"
	"slices"
)

const (
	byConnection = "connections of the configuration say where a source is; the rule names one with source:"
	bySecret     = byConnection + ", and a password has no place in a rule"
	bySettings   = "stint has settings of its own for it: see docs/configuration.md"
	inUTC        = "times are written in UTC"
	byPython     = "it is code of Python"
)

// elsewhereOptions are accepted and do nothing: stint has another way.
var elsewhereOptions = elsewhere(map[string][]string{
	byConnection: {"es_host", "es_hosts", "es_port", "es_url_prefix", "es_send_get_body_as", "es_conn_timeout", "use_ssl", "verify_certs", "ssl_show_warn", "ca_certs", "client_cert",
		"client_key", "aws_region", "profile", "boto_profile", "es_client"},
	bySecret: {"es_username", "es_password", "es_bearer", "es_api_key"},
	bySettings: {"rules_folder", "scan_subdirectories", "rules_loader", "writeback_index", "writeback_alias", "alert_time_limit", "old_query_limit", "disable_rules_on_error", "show_disabled_rules",
		"notify_email", "notify_all_errors", "notify_alert", "max_aggregation", "string_multi_field_name", "add_metadata_alert", "skip_invalid", "logging", "replace_dots_in_field_names",
		"statsd_instance_tag", "statsd_host", "prometheus_port", "prometheus_addr"},
	noLink: {"kibana_url", "kibana_username", "kibana_password", "kibana_verify_certs", "kibana4_start_timedelta", "kibana4_end_timedelta", "use_kibana4_dashboard", "use_kibana_dashboard", "kibana_dashboard",
		"generate_kibana_link", "generate_kibana_discover_url", "shorten_kibana_discover_url", "kibana_discover_app_url", "kibana_discover_version", "kibana_discover_index_pattern_id",
		"kibana_discover_columns", "kibana_discover_from_timedelta", "kibana_discover_to_timedelta", "kibana_discover_security_tenant", "generate_opensearch_discover_url", "shorten_opensearch_discover_url",
		"opensearch_discover_app_url", "opensearch_discover_version", "opensearch_discover_index_pattern_id", "opensearch_discover_columns", "opensearch_discover_from_timedelta",
		"opensearch_discover_to_timedelta", "opensearch_url", "opensearch_username", "opensearch_password", "opensearch_discover_security_tenant"},
	inUTC: {"use_local_time", "custom_pretty_ts_format"},
	"there is no limit to the number of pages":                                  {"max_scrolling_count", "max_scrolling", "scroll_keepalive"},
	"steps run on workers, as many at once as they take":                        {"max_threads", "misfire_grace_time"},
	"a type of document is not asked for any more; write a term query on _type": {"doc_type"},
	"texts refer to options of the rule by their names":                         {"include_rule_params_in_matches", "include_rule_params_in_first_match_only"},
	"an alert is kept with its matches":                                         {"include_match_in_root"},
	"nothing is run before realert is looked at":                                {"run_enhancements_first"},
})

func elsewhere(by map[string][]string) []Option {
	var list []Option
	for why, names := range by {
		for _, name := range names {
			list = append(list, Option{Name: name, Kind: KindAny, Standing: Elsewhere, Why: why, Secret: why == bySecret || name == "kibana_password" || name == "opensearch_password" || name == "client_key"})
		}
	}
	slices.SortFunc(list, func(a, b Option) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// refusedOptions cannot be kept.
var refusedOptions = []Option{
	{Name: "match_enhancements", Kind: KindAny, Standing: Refused, Why: byPython, Doc: "Modules that change a match."},
	{Name: "enhancement", Kind: KindAny, Standing: Refused, Why: byPython, Doc: "A module that changes a match."},
	{Name: "timestamp_format_expr", Kind: KindString, Standing: Refused, Why: byPython + "; timestamp_format can say most of it", Doc: "What a time is turned into before it is asked for."},
	{Name: "timestamp_to_datetime_format_expr", Kind: KindString, Standing: Refused, Why: byPython + "; timestamp_format can say most of it", Doc: "What a time is turned into before it is read."},
	{Name: "query_timezone", Kind: KindString, Standing: Refused, Why: "sources are asked in UTC, and a time without a zone is one in UTC", Doc: "The zone of times without one."},
	{Name: "_source_enabled", Kind: KindBool, Standing: Refused, Why: "events are read from _source", Doc: "false: the index keeps no _source."},
	{Name: "include_fields", Kind: KindList, Standing: Refused, Why: "events are read from _source, where runtime fields are not", Doc: "Fields that are not in _source."},
	{Name: "jinja_template_path", Kind: KindString, Standing: Refused, Why: "a rule is one file; write the template into alert_text", Doc: "A file with the template."},
	{Name: "eql", Kind: KindAny, Standing: Refused, Why: "stint asks with Elasticsearch's query language", Doc: "A query in EQL."},
	{Name: "command", Of: "command", Kind: KindStrings, Standing: Elsewhere, Why: "it belongs to command, which stint does not run"},
	{Name: "pipe_match_json", Of: "command", Kind: KindBool, Standing: Elsewhere, Why: "it belongs to command, which stint does not run"},
	{Name: "pipe_alert_text", Of: "command", Kind: KindBool, Standing: Elsewhere, Why: "it belongs to command, which stint does not run"},
	{Name: "fail_on_non_zero_exit", Of: "command", Kind: KindBool, Standing: Elsewhere, Why: "it belongs to command, which stint does not run"},
	{Name: "field", Kind: KindAny, Standing: Elsewhere, Why: "ElastAlert does nothing with it, either"},
}
