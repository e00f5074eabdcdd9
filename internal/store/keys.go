package store

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// Every key of stint in Redis, besides those of the queue. All keys of one job share the hash tag {id}, so that a script
// may touch them together on a Redis Cluster; the keys of the fleet share {fleet}.

const prefix = "stint:"

// jobKey: hash. The job as accepted (json), its state, epoch, times, error and totals. clock, ms, is the latest at which a step began to
// wait for a time; notes the number of its last note, see outboxKey; held why nothing of it is started, lined when it was last put in line
// for that, ms; asked the name of the last wish of Control that was granted. Lives until the job is removed.
func jobKey(id string) string { return prefix + "{" + id + "}" }

// stagesKey: hash, "<i>:<field>". Name, order, state, split cursor and counters of stage i. Written by plan_done.
func stagesKey(id string) string { return prefix + "{" + id + "}:stages" }

// readyPrefix: lists, one per stage (suffix i). Ready steps as "<key>|<delivery>", oldest first; at most about one page.
func readyPrefix(id string) string { return prefix + "{" + id + "}:ready:" }

// laterKey: sorted set. Steps "<key>|<delivery>" that wait for a time, by that time in ms of Redis' clock. Those that are
// ready without waiting have 0.
func laterKey(id string) string { return prefix + "{" + id + "}:later" }

// stepsKey: hash, step key -> body. Every step that is known and has not ended.
func stepsKey(id string) string { return prefix + "{" + id + "}:steps" }

// outKey: hash, step key -> "delivery|attempt|worker|since ms". Steps on the queue (no attempt yet) or under a lease.
func outKey(id string) string { return prefix + "{" + id + "}:out" }

// savedKey: hash, step key -> "read|written|quarantined|bytes[+skipped]|cursor". The last checkpoint of steps that have not ended.
func savedKey(id string) string { return prefix + "{" + id + "}:saved" }

// failsKey: hash, step key -> how many attempts have failed. Interruptions are not counted.
func failsKey(id string) string { return prefix + "{" + id + "}:fails" }

// deadKey: hash, step key -> json {stage, step, reason, hint, worker, at_ms, failed, delivery}. Steps that failed for good.
func deadKey(id string) string { return prefix + "{" + id + "}:dead" }

// findingsKey: hash, step key -> json list of findings. Bounded; the job hash counts all of them.
func findingsKey(id string) string { return prefix + "{" + id + "}:findings" }

// tallyKey: hash, bounded: what a report needs of the job's present run when its events are long gone. "w:<worker>" is
// "done|planned|given back|failed|lost|revoked|busy ms|first ms|last ms|version", of attempts; "w:" adds up the workers that found no
// line; "v:<version>" is there for each version that took part; "r:<failed or given_back>|<reason>" how often; "d:<worker>|<drain>" a
// drain as json; "l:<worker>" a lost worker, "noticed ms|steps|begun again|last ms"; "a:<step key>" a step that was interrupted and has
// not begun again, "ms|why|worker"; "whole" when all of the run is in it. Made by a build before it, a job has none of it.
func tallyKey(id string) string { return prefix + "{" + id + "}:tally" }

// aboutKey: sorted set, job id -> created in ms. The newest keptAbout jobs whose spec says that they are about this one.
func aboutKey(id string) string { return prefix + "{" + id + "}:about" }

// eventsKey: stream, capped. What happened to the job, for people and for watchers.
func eventsKey(id string) string { return prefix + "{" + id + "}:events" }

// outboxKey: hash, number -> json of a note: what became of the job, for webhooks. The sweep empties it; it outlives the job by
// a day when the job is removed before that. Numbers begin with when the job was written, us: one that was removed and submitted again
// goes on behind its old ones.
func outboxKey(id string) string { return prefix + "{" + id + "}:outbox" }

// jobsKey: sorted set, job id -> created in ms. Every job that is known.
const jobsKey = prefix + "jobs"

// briefKey: sorted set, id of a job with a KeepFor -> when it may be forgotten, ms.
const briefKey = prefix + "brief"

// tenantJobsKey: sorted set, job id -> created in ms. The jobs of one tenant.
func tenantJobsKey(tenant string) string { return prefix + "jobs:t:" + tenant }

// idempotencyKey: string with a time to live, the id of the job that was created under an Idempotency-Key of a tenant.
func idempotencyKey(tenant, key string) string {
	sum := sha256.Sum256([]byte(tenant + "\x00" + key))
	return prefix + "idem:" + hex.EncodeToString(sum[:])
}

// movesKey: string with a time to live. The job has ended, and somebody is about to have it go on: see Deactivate.
func movesKey(id string) string { return prefix + "{" + id + "}:moves" }

// activeKey: set of the ids of jobs that have not ended; what the sweep looks through.
const activeKey = prefix + "active"

// beatsKey: sorted set, worker id -> time of its last heartbeat, ms of Redis' clock.
const beatsKey = prefix + "{fleet}:beats"

// workerKey: hash. What a worker says of itself and what is wanted of it (drain). Expires a day after its last heartbeat.
func workerKey(id string) string { return prefix + "{fleet}:worker:" + id }

// sweeperKey: string with a time to live. The scheduler that sweeps the jobs of protocols up to this one just now.
func sweeperKey(protocol int) string { return prefix + "sweeper:p" + strconv.Itoa(protocol) }

// fenceKey: hash, "version" or "not_version" -> json {that, by, at, reason}, or "" of a fence that was lifted. Which versions of
// workers may not claim.
const fenceKey = prefix + "{fleet}:fence"

// maintenanceKey: hash, kind -> json {by, at, reason}. Kinds of which jobs are accepted and not started.
const maintenanceKey = prefix + "{fleet}:maintenance"

// maintainedKey: set of "<kind> <job id>". Jobs that a maintenance holds.
const maintainedKey = prefix + "{fleet}:maintained"

// tokensKey: hash, token id -> json {name, role, tenants, hash of the secret, ...}.
const tokensKey = prefix + "{fleet}:tokens"

// sessionKey: string with a time to live, json {token, at}. Somebody who has logged in with a browser; named by a sum of the cookie.
func sessionKey(sum string) string { return prefix + "session:" + sum }

// auditKey: stream, capped at about keptAudit. Who changed what.
const auditKey = prefix + "audit"

// strangersKey: stream, capped at about keptStrangers. What was refused to callers without a known token.
const strangersKey = prefix + "audit:strangers"

// limitsKey: hash, tenant -> json {running_jobs, steps_per_second}; "*" holds for tenants that have no line of their own.
const limitsKey = prefix + "{fleet}:limits"

// limitedKey: set of the tenants of which jobs are held by a limit, or were let in under one; what Reconcile looks through.
const limitedKey = prefix + "{fleet}:limited"

// tenantRunningKey: set of the ids of a tenant's jobs that were let in under its limit and have not ended.
func tenantRunningKey(tenant string) string { return prefix + "{t:" + tenant + "}:running" }

// tenantWaitingKey: sorted set, job id -> rank (priority, then age). A tenant's jobs that its limit holds back.
func tenantWaitingKey(tenant string) string { return prefix + "{t:" + tenant + "}:waiting" }

// tenantRateKey: string with a time to live, the theoretical arrival time of a tenant's next step, us of Redis' clock (GCRA).
func tenantRateKey(tenant string) string { return prefix + "{t:" + tenant + "}:rate" }

// tenantRateKeys: what a tenant's rate is kept in, all with a time to live: tenantRateKey, and two sorted sets, job id -> since when its steps
// wait for the rate, and until when they are waited for, us of Redis' clock.
func tenantRateKeys(tenant string) []string {
	key := tenantRateKey(tenant)
	return []string{key, key + ":line", key + ":back"}
}

// endpointRateKey: string with a time to live, the theoretical arrival time of the next request to an endpoint of an API, us of Redis'
// clock (GCRA).
func endpointRateKey(endpoint string) string {
	sum := sha256.Sum256([]byte(endpoint))
	return prefix + "{e:" + hex.EncodeToString(sum[:16]) + "}:rate"
}

// endpointRateKeys: what an endpoint's rate is kept in, both with a time to live: endpointRateKey, and a string, by how many us more than a
// turn may lie ahead that one may, at the rate of who was given the last turn.
func endpointRateKeys(endpoint string) []string {
	key := endpointRateKey(endpoint)
	return []string{key, key + ":more"}
}

// buildNumbersKey: hash. "last" -> the last number of a product's builds; "b:<build>" -> the number that a build got.
func buildNumbersKey(product string) string { return prefix + "{b:" + product + "}:numbers" }

// claimKey: string with a time to live. Who does what one attempt at a time may do.
func claimKey(name string) string {
	sum := sha256.Sum256([]byte(name))
	return prefix + "{c:" + hex.EncodeToString(sum[:16]) + "}"
}

// The keys of schedules share the hash tag {schedules}: a decision, its history and its outbox are one script.

// scheduleNamesKey: set. The names of all schedules.
const scheduleNamesKey = prefix + "{schedules}:names"

// scheduleKey: hash. A schedule's definition (def, json), rev (random, new with each write: the fence), version, origin, paused,
// next due time, last tick and its job, the tick that waits, created; times in ms.
func scheduleKey(name string) string { return prefix + "{schedules}:s:" + name }

// scheduleDueKey: sorted set, name -> when its next tick fires, jitter included, in ms. Schedules that are paused are not in it.
const scheduleDueKey = prefix + "{schedules}:due"

// scheduleConfiguredKey: string. How often schedulers have written the schedules and limits of their configuration.
const scheduleConfiguredKey = prefix + "{schedules}:configured"

// schedulePendingKey: hash, tick id -> json {tick, job, waits}. The outbox: ticks whose job has yet to be created, or has to wait.
const schedulePendingKey = prefix + "{schedules}:pending"

// scheduleTicksKey: sorted set, tick id -> its (last) due time in ms; at most KeepTicks, the newest.
func scheduleTicksKey(name string) string { return prefix + "{schedules}:ticks:" + name }

// scheduleHistoryKey: hash, tick id -> json of the tick, for each member of scheduleTicksKey.
func scheduleHistoryKey(name string) string { return prefix + "{schedules}:history:" + name }

// The keys of webhooks share the hash tag {webhooks}. All but the definitions expire messagesKept after the last message.

// webhooksKey: hash, name -> json of the definition, without address and secrets. The field "" marks that they were written.
const webhooksKey = prefix + "{webhooks}:defs"

// webhookDueKey: sorted set, delivery id -> when it is to be tried next, ms of Redis' clock; under a lease, when that ends.
func webhookDueKey(name string) string { return prefix + "{webhooks}:due:" + name }

// webhookListKey: sorted set, delivery id -> created in ms; at most keptDeliveries, the newest.
func webhookListKey(name string) string { return prefix + "{webhooks}:list:" + name }

// webhookStatsKey: hash. What came of the deliveries of a webhook: delivered, gave_up, the last answer, since when it fails, the
// sum of the address that answered 410; clock, ms, is the latest at which a delivery began to wait.
func webhookStatsKey(name string) string { return prefix + "{webhooks}:stats:" + name }

// webhookRowPrefix: hashes, one per delivery (suffix id). What is sent, its state, and what came of the last attempt.
const webhookRowPrefix = prefix + "{webhooks}:d:"

// ratesKey: hash, "<kind> <sum of the target>" -> json {rows, seconds, jobs}, decayed; at most keptRates.
const ratesKey = prefix + "{rates}:of"

// ratesUsedKey: sorted set, the fields of ratesKey by when they were last written, ms of Redis' clock.
const ratesUsedKey = prefix + "{rates}:used"

// Step keys. A step is "<stage index>/<step id>"; planning is "p"; the split of page n of stage i is "x<i>.<n>".

// KindOfKey says what a step key stands for.
type KindOfKey int

// The kinds of step keys.
const (
	RunKey KindOfKey = iota
	PlanKey
	SplitKey
)

// ParseKey takes a step key apart. The stage index is -1 for planning.
func ParseKey(key string) (kind KindOfKey, stage int, step string) {
	switch {
	case key == "p":
		return PlanKey, -1, ""
	case strings.HasPrefix(key, "x"):
		i, _, _ := strings.Cut(key[1:], ".")
		n, _ := strconv.Atoi(i)
		return SplitKey, n, ""
	}
	i, id, _ := strings.Cut(key, "/")
	n, _ := strconv.Atoi(i)
	return RunKey, n, id
}

// Ref names one delivery of one step: what a task on the queue carries, and nothing else.
type Ref struct {
	Job      string
	Epoch    int64  // which run of the job: a job that is started over has a new one
	Key      string // step key
	Delivery int64  // counts up each time the step is handed out again
}

// TaskID is the reference as text: the id of the task on the queue, the same whoever enqueues it.
func (r Ref) TaskID() string {
	return r.Job + ":" + strconv.FormatInt(r.Epoch, 10) + ":" + strconv.FormatInt(r.Delivery, 10) + ":" + r.Key
}

// TaskIDs are the references as task ids, for the queue.
func TaskIDs(refs []Ref) []string {
	ids := make([]string, len(refs))
	for i, r := range refs {
		ids[i] = r.TaskID()
	}
	return ids
}

// ParseTaskID is the reverse of TaskID.
func ParseTaskID(id string) (Ref, bool) {
	p := strings.SplitN(id, ":", 4)
	if len(p) != 4 {
		return Ref{}, false
	}
	epoch, err1 := strconv.ParseInt(p[1], 10, 64)
	delivery, err2 := strconv.ParseInt(p[2], 10, 64)
	return Ref{Job: p[0], Epoch: epoch, Delivery: delivery, Key: p[3]}, err1 == nil && err2 == nil
}

// A queue's full name is "<queue>.p<protocol>", followed by the band of the job's priority: a worker never claims a step of
// a protocol that it cannot read, and steps of a higher band are claimed sooner.

// Bands of priority, and how often a worker asks them first when all have something. None is starved.
const (
	highBand, highWeight = ".high", 8
	normalWeight         = 4
	lowBand, lowWeight   = ".low", 1
)

// QueueName is the full name of the queue on which the steps of a job go.
func QueueName(queue string, protocol, priority int) string {
	if queue == "" {
		queue = tasks.DefaultQueue
	}
	name := queue + ".p" + strconv.Itoa(protocol)
	switch {
	case priority > 0:
		return name + highBand
	case priority < 0:
		return name + lowBand
	}
	return name
}

// Band is a full name of a queue, and how much more often than others it is asked first.
type Band struct {
	Name   string
	Weight int
}

// Bands are the full names that a worker of this build claims from when it serves some queues: every protocol that it can
// read, the newest last, and each of their bands.
func Bands(queues []string) []Band {
	var list []Band
	for _, q := range queues {
		for p := tasks.OldestProtocol; p <= tasks.Protocol; p++ {
			list = append(list, Band{QueueName(q, p, 1), highWeight}, Band{QueueName(q, p, -1), lowWeight}, Band{QueueName(q, p, 0), normalWeight})
		}
	}
	return list
}
