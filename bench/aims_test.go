package bench

// An aim is what one of the measures is to reach. What was measured is in results/YYYY-MM.json, under the same id.
type aim struct {
	id, area string
	measure  string // what is measured
	want     string // the aim, in words; "" where there is none, and the figure only tells
	limit    float64
	less     bool // the figure is to be at most the limit; else at least
	peer     string
	repeat   string // the benchmark
}

// met says whether a figure reaches the aim.
func (a aim) met(figure float64) bool {
	if a.less {
		return figure <= a.limit
	}
	return figure >= a.limit
}

// aims are all measures, in the order of the page.
var aims = []aim{
	{id: "migration-copy", area: "Migration", measure: "SQLite to PostgreSQL, exactly once and resumable, rows/s", want: "at least 0.97 of it", limit: 0.97, peer: "the fastest Go program that cannot resume", repeat: "Migration"},
	{id: "migration-csv", area: "Migration", measure: "SQLite to PostgreSQL, exactly once and resumable, rows/s", want: "at least 1.2 of it", limit: 1.2, peer: "`sqlite3 -csv`, piped into `psql \\copy`", repeat: "Migration"},
	{id: "migration-pgloader", area: "Migration", measure: "SQLite to PostgreSQL, exactly once and resumable, rows/s", want: "at least 2.7 of it", limit: 2.7, peer: "pgloader", repeat: "Migration"},
	{id: "plan-pgloader", area: "Migration", measure: "SQLite through ten expressions", want: "at least 2.7 of it", limit: 2.7, peer: "pgloader, without expressions", repeat: "Plan"},
	{id: "plan-mariadb", area: "Migration", measure: "MariaDB through ten expressions", want: "at least 2.7 of it", limit: 2.7, peer: "pgloader, without expressions", repeat: "Plan"},
	{id: "plan-pipe", area: "Migration", measure: "PostgreSQL to PostgreSQL, as the tables are", want: "at least 0.95 of it", limit: 0.95, peer: "`COPY TO binary`, piped into `COPY FROM binary`", repeat: "Plan"},
	{id: "plan-memory", area: "Migration", measure: "peak memory of a worker, 20 million rows through ten expressions", want: "at most 64 MiB", limit: 64, less: true, repeat: "Memory"},
	{id: "migration-chunk", area: "Migration", measure: "p99 of a chunk of 5,000 rows, from its beginning to its commit", want: "at most 250 ms", limit: 250, less: true, repeat: "Chunks"},

	{id: "engine-asynq", area: "Engine", measure: "durable steps/s, from submission to the last one counted", want: "at least 0.5 of it, then more than it", limit: 0.5, peer: "bare asynq, enqueuing and running", repeat: "Peers"},
	{id: "engine-asynq-alone", area: "Engine", measure: "durable steps/s, from submission to the last one counted", want: "at least 0.5 of it", limit: 0.5, peer: "bare asynq, running what is on the queue already", repeat: "Peers"},
	{id: "engine-river", area: "Engine", measure: "durable steps/s, from submission to the last one counted", want: "more than it", limit: 1, peer: "River on PostgreSQL, tuned", repeat: "Peers"},
	{id: "engine-bullmq", area: "Engine", measure: "durable steps/s, from submission to the last one counted", want: "more than it", limit: 1, peer: "BullMQ", repeat: "Peers"},
	{id: "engine-sidekiq", area: "Engine", measure: "durable steps/s, from submission to the last one counted", want: "more than it", limit: 1, peer: "Sidekiq", repeat: "Peers"},
	{id: "engine-celery", area: "Engine", measure: "durable steps/s, from submission to the last one counted", want: "more than it", limit: 1, peer: "Celery", repeat: "Peers"},
	{id: "engine-idle", area: "Engine", measure: "from enqueue to start, idle worker, p99", want: "at most 10 ms", limit: 10, less: true, peer: "asynq, which polls", repeat: "Latency"},
	{id: "engine-dispatch", area: "Engine", measure: "steps put on a queue a second, a hundred at a time", want: "at least as many", limit: 1, peer: "asynq's Enqueue by eight clients", repeat: "Dispatch"},
	{id: "one-job", area: "Engine", measure: "CPU of a step of one job (workers, Redis, scheduler), the dearest size beside 1,000 steps", want: "at most 1.2 of it", limit: 1.2, less: true, peer: "the same with 1,000 steps", repeat: "ScaleOfOneJob"},
	{id: "jobs-rate", area: "Engine", measure: "many jobs at once on one Redis, steps/s", repeat: "ScaleOfJobs"},
	{id: "jobs-redis", area: "Engine", measure: "many jobs at once on one Redis: its CPU of a step", repeat: "ScaleOfJobs"},
	{id: "jobs-memory", area: "Engine", measure: "many jobs at once on one Redis: its memory of a job at the peak", repeat: "ScaleOfJobs"},
	{id: "jobs-half", area: "Engine", measure: "from handed out to begun, jobs at half of that rate, p99", repeat: "ScaleOfJobs"},
	{id: "jobs-first", area: "Engine", measure: "from handed out to begun, a job of high priority behind all of them, p99", repeat: "ScaleOfJobs"},
	{id: "kill", area: "Engine", measure: "kill -9 of a worker to its steps running elsewhere, default settings, p99", want: "at most 5 s", limit: 5, less: true, peer: "asynq", repeat: "Recovery"},
	{id: "kill-crowd", area: "Engine", measure: "kill -9 of a worker to its steps running elsewhere, with thousands of other jobs that wait, p99", want: "at most 5 s", limit: 5, less: true, repeat: "Recovery"},
	{id: "drain", area: "Engine", measure: "drain to safe to stop, chunks of 100,000 rows, p99", want: "at most 1.5 s", limit: 1.5, less: true, peer: "Sidekiq kills after 25 s; BullMQ and Celery wait for the job", repeat: "Drain"},
	{id: "redis-killed", area: "Engine", measure: "steps lost or twice when Redis is killed, with its file", want: "0", less: true, repeat: "-"},

	{id: "dedupe-copy", area: "Dedupe", measure: "duplicates of 2,000 customers, the whole analysis, wall time", want: "at most 1.1 of it", limit: 1.1, less: true, peer: "reading three columns by COPY", repeat: "Dedupe"},
	{id: "dedupe-join", area: "Dedupe", measure: "duplicates of 2,000 customers, the whole analysis, wall time", want: "6 times as fast", limit: 6, peer: "SQL self-join", repeat: "Dedupe"},
	{id: "dedupe-duckdb", area: "Dedupe", measure: "duplicates of 2,000 customers, the whole analysis, wall time, with exporting", want: "faster", limit: 1, peer: "DuckDB", repeat: "Dedupe"},
	{id: "dedupe-memory", area: "Dedupe", measure: "duplicates of 2,000 customers, peak memory", want: "at most 64 MiB", limit: 64, less: true, repeat: "Dedupe"},
	{id: "dedupe-reader", area: "Dedupe", measure: "a reader's p99 while 2 million rows are deleted", want: "at most 1.5 of it", limit: 1.5, less: true, peer: "the same reader before", repeat: "DedupeReader"},

	{id: "alerts-rules", area: "Alerts", measure: "10,000 rules a minute, share of a core", want: "at most one core", limit: 100, less: true, peer: "ElastAlert, at 1,000 rules", repeat: "Alerts"},
	{id: "alerts-missed", area: "Alerts", measure: "windows missed of those", want: "0", less: true, peer: "ElastAlert, at 1,000 rules", repeat: "Alerts"},

	{id: "builds-first", area: "Builds", measure: "a workspace of 100 MB kept for the first time", want: "at most 1.0 of it", limit: 1, less: true, peer: "`tar` into `zstd -1 -T2`", repeat: "Builds"},
	{id: "builds-change", area: "Builds", measure: "a workspace of 100 MB kept again after a change of 1 %", want: "10 times cheaper", limit: 10, peer: "`tar` into `zstd -1 -T2`", repeat: "Builds"},
	{id: "builds-many", area: "Builds", measure: "a workspace of 25,000 files kept again after a change of 1 %", want: "10 times cheaper", limit: 10, peer: "`tar` into `zstd -1 -T2`", repeat: "Builds"},
	{id: "builds-nothing", area: "Builds", measure: "a step that changes nothing", want: "at most 50 ms", limit: 50, less: true, repeat: "Builds"},

	{id: "api-submit", area: "API and dashboard", measure: "`POST /v1/jobs`, a second", want: "at least 0.5 of it", limit: 0.5, peer: "asynq's Enqueue without HTTP, one client", repeat: "API"},
	{id: "api-get", area: "API and dashboard", measure: "`GET /v1/jobs/{id}`, 500 a second among 10,000 jobs, p99", want: "at most 10 ms", limit: 10, less: true, repeat: "API"},
	{id: "api-page", area: "API and dashboard", measure: "the slowest page of the dashboard, median", want: "at most 300 ms", limit: 300, less: true, repeat: "Dashboard"},
	{id: "api-streams", area: "API and dashboard", measure: "50 open streams of events, share of a core", want: "at most 5 %", limit: 5, less: true, repeat: "API"},
}
