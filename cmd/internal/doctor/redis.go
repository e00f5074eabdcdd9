package doctor

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/tasks"
)

// node is one server of a Redis, and what it says of itself as far as its user may ask.
type node struct {
	redis.Cmdable
	addr    string            // "" when there is only one
	info    map[string]string // of INFO; nil when it may not be asked
	setting map[string]string // of CONFIG GET; nil when it may not be asked
	err     error             // of INFO
}

// settings are those that are asked for, if it is allowed.
var settings = []string{"appendfsync", "save", "maxmemory-policy", "maxmemory", "min-replicas-to-write"}

// nodes lists the masters of a Redis, and asks each of them: about all that is looked at, or about eviction alone.
func nodes(ctx context.Context, rdb redis.UniversalClient, all bool) ([]*node, error) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		n := &node{Cmdable: rdb}
		return []*node{n}, n.ask(ctx, all)
	}
	var mu sync.Mutex
	var list []*node
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		n := &node{Cmdable: c, addr: c.Options().Addr}
		mu.Lock()
		list = append(list, n)
		mu.Unlock()
		return n.ask(ctx, all)
	})
	slices.SortFunc(list, func(a, b *node) int { return cmp.Compare(a.addr, b.addr) })
	return list, err
}

// ask fills in what the node says of itself. That it may not be asked is no error.
func (n *node) ask(ctx context.Context, all bool) error {
	text, err := n.Info(ctx).Result()
	var said redis.Error
	if err != nil && !errors.As(err, &said) {
		return fmt.Errorf("ask redis about itself: %w", err)
	}
	if n.err = err; err == nil {
		n.info = map[string]string{}
		lines := bufio.NewScanner(strings.NewReader(text))
		for lines.Scan() {
			if name, value, ok := strings.Cut(lines.Text(), ":"); ok {
				n.info[name] = value
			}
		}
	}
	if _, seen := n.info["maxmemory_policy"]; seen && !all {
		return nil // what is not needed and may be forbidden would stand in Redis' ACL LOG
	}
	for _, name := range settings {
		values, err := n.ConfigGet(ctx, name).Result()
		if err != nil {
			return nil // a user without the right, or a service that has no such command
		}
		if n.setting == nil {
			n.setting = map[string]string{}
		}
		if v, ok := values[name]; ok {
			n.setting[name] = v
		}
	}
	return nil
}

// get returns what the node says under one of its names, and whether it can be seen.
func (n *node) get(infoName, settingName string) (string, bool) {
	if v, ok := n.info[infoName]; ok {
		return v, true
	}
	v, ok := n.setting[settingName]
	return v, ok
}

func (n *node) number(infoName string) int64 {
	i, _ := strconv.ParseInt(n.info[infoName], 10, 64) // what is no number is not there
	return i
}

// examineQueue looks at the Redis, or at the embedded queue.
func examineQueue(ctx context.Context, o Options) []Finding {
	embedded := o.App.Local
	n := &notes{subject: "redis"}
	if embedded != nil {
		n.subject = "embedded queue"
		if !embedded.Durable() { // a Redis in memory, which is not asked further: it is ours
			n.latency(ctx, o.App.Redis)
			n.add(Warning, "loss", "install redis-server 6 or later, or set redis.url", "%s", embedded.Notice())
			return n.list
		}
	}
	list, err := nodes(ctx, o.App.Redis, true)
	if err != nil {
		n.failed("reachable", err)
		return n.list
	}
	n.topology(o.Config.Redis, embedded != nil, list)
	for _, node := range list {
		if len(list) > 1 {
			n.subject = "redis " + node.addr
		}
		n.node(ctx, node, o.Now)
	}
	return n.list
}

// topology compares what Redis is with what the configuration says.
func (n *notes) topology(c config.Redis, embedded bool, list []*node) {
	first := list[0]
	switch {
	case embedded:
		n.ok("topology", "a redis-server of this data folder's own")
	case c.Topology == config.Cluster:
		n.ok("topology", "a cluster of %s", plural(len(list), "master"))
	case first.info["cluster_enabled"] == "1":
		n.add(Problem, "topology", "set redis.topology: cluster", "it is a node of a cluster, and redis.topology is %s", c.Topology)
	case first.info["role"] != "" && first.info["role"] != "master":
		n.add(Problem, "topology", "name its master in redis.url, or set redis.topology: sentinel", "it is a replica, which takes no writes")
	default:
		n.ok("topology", "%s", c.Topology)
	}
}

// node looks at one server.
func (n *notes) node(ctx context.Context, r *node, now func() time.Time) {
	n.version(r)
	n.latency(ctx, r)
	before := now()
	if said, err := r.Time(ctx).Result(); err != nil {
		n.add(Warning, "clock", "grant its user +time", "its clock cannot be seen: %v", err)
	} else {
		n.clock(before, said, now())
	}
	v, message, hint := eviction(r)
	n.add(v, "eviction", hint, "%s", message)
	if r.info == nil {
		n.add(Warning, "loss", "grant its user +info, or ask who runs it", "what it keeps cannot be seen: its user may not ask for INFO (%v)", r.err)
		return
	}
	n.memory(r)
	n.loss(r)
	n.replicas(r)
}

// oldestRedis is the oldest major version that stint is made for.
const oldestRedis = 6

func (n *notes) version(r *node) {
	version, ok := r.info["redis_version"]
	if !ok {
		return // said where INFO is missed
	}
	name := "Redis"
	if valkey := r.info["valkey_version"]; valkey != "" {
		name, version = "Valkey", valkey
	}
	if major, err := strconv.Atoi(strings.SplitN(version, ".", 2)[0]); err == nil && major < oldestRedis {
		n.add(Problem, "version", "upgrade to Redis 7 or Valkey", "%s %s is older than 6", name, version)
		return
	}
	n.ok("version", "%s %s", name, version)
}

// slow is an answer that takes so long that steps wait for Redis more than for their own work.
const slow = 10 * time.Millisecond

// latency is the middle of some round trips.
func (n *notes) latency(ctx context.Context, r redis.Cmdable) {
	var trips []time.Duration
	for range 5 {
		begun := time.Now()
		if err := r.Ping(ctx).Err(); err != nil {
			n.failed("latency", fmt.Errorf("it does not answer: %w", err))
			return
		}
		trips = append(trips, time.Since(begun))
	}
	slices.Sort(trips)
	middle := rounded(trips[len(trips)/2])
	if middle > slow {
		n.add(Warning, "latency", "run workers and Redis in one network: a step asks it several times", "it answers in %s", middle)
		return
	}
	n.ok("latency", "it answers in %s", middle)
}

// eviction says whether a server throws keys away when its memory is full, which would lose jobs without a word.
func eviction(r *node) (v Verdict, message, hint string) {
	const mend = "set maxmemory-policy noeviction: CONFIG SET maxmemory-policy noeviction, and in its configuration file"
	policy, seen := r.get("maxmemory_policy", "maxmemory-policy")
	limit, _ := r.get("maxmemory", "maxmemory")
	switch {
	case !seen:
		return Warning, "whether it evicts keys when its memory is full cannot be seen", "see in its settings that maxmemory-policy is noeviction, or grant its user +info"
	case policy == "noeviction":
		return OK, "noeviction: it refuses writes when its memory is full, and loses nothing", ""
	case limit == "0" || limit == "":
		return Warning, fmt.Sprintf("maxmemory-policy is %s; nothing is evicted as long as maxmemory is 0", policy), mend
	}
	return Problem, fmt.Sprintf("maxmemory-policy is %s: when its memory is full it throws jobs away without a word", policy), mend
}

// RefuseEvicting returns an error with a hint when a Redis throws keys away when its memory is full: jobs would vanish without
// a word. Where that cannot be seen, as with some services, it calls unseen with what to look for.
func RefuseEvicting(ctx context.Context, rdb redis.UniversalClient, unseen func(message, hint string)) error {
	list, err := nodes(ctx, rdb, false)
	if err != nil {
		return err
	}
	for _, r := range list {
		v, message, hint := eviction(r)
		if _, seen := r.get("maxmemory_policy", "maxmemory-policy"); !seen {
			unseen(message, hint)
			return nil
		}
		if v == Problem {
			name := "redis"
			if r.addr != "" {
				name += " " + r.addr
			}
			return tasks.WithHint(nil, hint, "%s: %s", name, message)
		}
	}
	return nil
}

// Shares of maxmemory that are in use.
const (
	muchMemory    = 0.75
	tooMuchMemory = 0.95
)

func (n *notes) memory(r *node) {
	used, limit := r.number("used_memory"), r.number("maxmemory")
	if limit == 0 {
		n.ok("memory", "%s in use; maxmemory is not set", size(used))
		return
	}
	share := float64(used) / float64(limit)
	v, hint := OK, ""
	switch {
	case share >= tooMuchMemory:
		v, hint = Problem, "raise maxmemory: a full Redis takes no jobs and no checkpoints"
	case share >= muchMemory:
		v, hint = Warning, "raise maxmemory before it is full: a full Redis takes no jobs and no checkpoints"
	}
	n.add(v, "memory", hint, "%s of %s in use (%.0f %%)", size(used), size(limit), 100*share)
}

// loss says in words what a crash of the server costs.
func (n *notes) loss(r *node) {
	const append1s = "for less: appendonly yes, with appendfsync everysec or always"
	if r.info["aof_last_write_status"] == "err" {
		n.add(Problem, "loss", "is its disk full?", "its append-only file cannot be written")
		return
	}
	if r.info["aof_enabled"] == "1" {
		switch fsync, seen := r.setting["appendfsync"]; {
		case !seen:
			n.add(Warning, "loss", "ask who runs it for appendfsync", "append-only; how often it is synced cannot be seen: a crash may lose a second or two, if that is every second")
		case fsync == "always":
			n.ok("loss", "append-only, synced before each answer: a crash loses nothing acknowledged")
		case fsync == "everysec":
			n.ok("loss", "append-only, synced every second: a crash may lose a second, or two while the disk is slow")
		default:
			n.add(Warning, "loss", "set appendfsync everysec or always", "append-only, synced when its system likes to: a crash may lose some 30 s")
		}
		return
	}
	if r.info["rdb_last_bgsave_status"] == "err" {
		n.add(Problem, "loss", "is its disk full? Redis' log says more", "its last RDB snapshot failed, and it has no append-only file")
		return
	}
	save, seen := r.setting["save"]
	if seen && save == "" {
		n.add(Warning, "loss", append1s, "it writes nothing to disk: a crash or a restart loses every job. What has taken effect stays, and is not done twice")
		return
	}
	since := time.Since(time.Unix(r.number("rdb_last_save_time"), 0))
	n.add(Warning, "loss", append1s, "no append-only file: a crash loses everything since the last RDB snapshot, which is %s old (%d changes)", rounded(since), r.number("rdb_changes_since_last_save"))
}

func (n *notes) replicas(r *node) {
	count := int(r.number("connected_slaves"))
	if count == 0 {
		n.ok("replicas", "none: while it is away, nothing new is begun")
		return
	}
	least, seen := r.setting["min-replicas-to-write"]
	if _, shown := r.info["min_slaves_good_slaves"]; shown && !seen { // INFO has it only when the setting is above 0
		least, seen = "1 or more", true
	}
	switch {
	case !seen || least != "0":
		n.ok("replicas", "%s; min-replicas-to-write is %s", plural(count, "replica"), cmp.Or(least, "not to be seen, or 0"))
	default:
		n.add(Warning, "replicas", "set min-replicas-to-write 1 (and min-replicas-max-lag), so that a master that is cut off takes no more writes",
			"%s; min-replicas-to-write is 0: a failover may lose what was not yet copied", plural(count, "replica"))
	}
}
