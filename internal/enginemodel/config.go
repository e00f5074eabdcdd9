package enginemodel

import "fmt"

// Sizes that no configuration may exceed: a State has room for so many.
const (
	MaxKeys    = 16
	MaxStages  = 4
	MaxWorkers = 3
	maxTasks   = 12
	maxSent    = 6
	// The processes beside the workers, as the last of them.
	scheduler = MaxWorkers
	client    = MaxWorkers + 1
	processes = MaxWorkers + 2
)

// StageShape is one stage of the job.
type StageShape struct {
	After []int // indexes of the stages that it waits for, all below its own
	Pages []int // how many steps each page of its split has; at least one page
	// Checks: its steps count the ledgers of the stages that it waits for before they do anything, and fail for good where something
	// is missing.
	Checks bool
}

// Budget is how often each fault may happen in one run, and All how many of them together.
type Budget struct {
	All       int
	Kill      int // a worker, the scheduler or the client dies; what it holds is gone
	Freeze    int // a worker stops, is given up, and goes on later as if nothing had been
	Lose      int // a task vanishes from the queue
	Queue     int // all tasks vanish
	Double    int // a claimed task is delivered to a second worker
	Reply     int // a script or a commit takes effect, and whoever asked does not hear of it
	Slow      int // a task is taken for one that nobody will ever begin, although its worker lives
	FallBack  int // Redis comes back as it was at an earlier moment
	Empty     int // Redis comes back with nothing
	Failover  int // the target forgets a commit that it had confirmed
	Transient int // an attempt fails, and another may go well
	Permanent int // an attempt fails, and no other can go well
}

// Config is what is explored: one job and who works on it.
type Config struct {
	Name    string
	Stages  []StageShape
	Window  int
	Workers int
	Batches int  // commits that a step takes
	Retries int  // failed attempts that a step may have and still be tried again
	Skip    bool // the policy is to go on without steps that failed for good
	Faults  Budget
	Control int  // how often somebody pauses, cancels, retries or restarts the job
	Drains  int  // how often a worker is drained, or goes back to work
	Planned bool // begin with a job that is planned, and split as far as its window allows, and whose steps are on the queue
	Whole   bool // look at every order of actions, also of those of which one order stands for all
	Apart   bool // workers are told apart, so that a trace can be followed; else states that differ in their names are one
}

// Keys are numbered: the planning is 0; then come, for each stage, the splits of its pages and its steps.
type keyInfo struct {
	name  string
	stage int // -1: the planning
	page  int // of a split; -1 of a step
	split bool
}

func (k keyInfo) run() bool { return k.stage >= 0 && !k.split }

// Mutant is a fault that is built into the model on purpose, to prove that the checks find it.
type Mutant int

// The mutants. None is the engine as it is.
const (
	None                  Mutant = iota
	EndUnfenced                  // end does not compare the attempt's id
	LedgerApart                  // the ledger's row is written after the commit, on its own
	SweepSameDelivery            // the sweep hands out again under the same delivery number
	EnqueueFirst                 // tasks are put on the queue before the state is written, and no sweep looks for tasks
	NoSweepOfTasks               // no sweep looks for the tasks of steps that nobody begins
	NoSweepOfWorkers             // no sweep looks for what lost workers held
	NoRevoke                     // a lease that its living worker does not know of stays
	DrainAcknowledgesFast        // a worker says that it is drained before its attempt has come back
	DispatchPaused               // steps are handed out while the job is paused
	BeginUnfenced                // begin does not compare the delivery number
	WindowIgnored                // due steps are handed out however many are out
	SaveUnfenced                 // save does not compare the attempt's id
	StageTooEarly                // a stage opens with the first of those that it waits for
	RetryKeepsFailed             // retry forgets to count its steps as not failed
)

// Model is a configuration, ready to be explored. It may be used by several goroutines.
type Model struct {
	Config
	mutant Mutant
	keys   []keyInfo
	first  []int   // of each stage, the key of its first split
	steps  [][]int // of each stage, the keys of its steps
	next   [][]int // of each stage, the stages that wait for it
}

// New makes a model of a configuration; with a mutant, of an engine that is broken in one place.
func New(c Config, mutant Mutant) (*Model, error) {
	m := &Model{Config: c, mutant: mutant, keys: []keyInfo{{name: "p", stage: -1, page: -1}}, next: make([][]int, len(c.Stages))}
	for i, st := range c.Stages {
		m.first = append(m.first, len(m.keys))
		for p := range st.Pages {
			m.keys = append(m.keys, keyInfo{fmt.Sprintf("x%d.%d", i, p), i, p, true})
		}
		var steps []int
		n := 0
		for p, count := range st.Pages {
			for range count {
				steps = append(steps, len(m.keys))
				m.keys = append(m.keys, keyInfo{fmt.Sprintf("%d/%d", i, n), i, p, false})
				n++
			}
		}
		m.steps = append(m.steps, steps)
		for _, a := range st.After {
			if a >= i {
				return nil, fmt.Errorf("configuration %q: stage %d waits for stage %d, which does not stand before it", c.Name, i, a)
			}
			m.next[a] = append(m.next[a], i)
		}
	}
	switch {
	case len(m.keys) > MaxKeys || len(c.Stages) > MaxStages || c.Workers > MaxWorkers:
		return nil, fmt.Errorf("configuration %q has %d keys, %d stages and %d workers; there is room for %d, %d and %d",
			c.Name, len(m.keys), len(c.Stages), c.Workers, MaxKeys, MaxStages, MaxWorkers)
	case len(c.Stages) == 0 || c.Window < 1 || c.Workers < 1 || c.Batches < 1:
		return nil, fmt.Errorf("configuration %q has no stages, no window, no workers or no batches", c.Name)
	}
	return m, nil
}

// KeyName is the step key that the store uses for key k: "p", "x0.0" or "0/1".
func (m *Model) KeyName(k uint8) string { return m.keys[k].name }

// KeyOf is the reverse of KeyName.
func (m *Model) KeyOf(name string) (uint8, bool) {
	for k, info := range m.keys {
		if info.name == name {
			return uint8(k), true
		}
	}
	return 0, false
}

// Page is what the split of a page answers: the ids of its steps, and whether it is the stage's last.
func (m *Model) Page(split uint8) (ids []string, last bool) {
	info := m.keys[split]
	for _, k := range m.steps[info.stage] {
		if m.keys[k].page == info.page {
			ids = append(ids, m.keys[k].name[2:])
		}
	}
	return ids, info.page == len(m.Stages[info.stage].Pages)-1
}

// Keys is how many keys there are: the planning, the splits and the steps.
func (m *Model) Keys() int { return len(m.keys) }

// Patient is the same model, in which somebody retries a job, or starts it over, as often as it takes, and no fault comes any more.
func (m *Model) Patient() *Model {
	p := *m
	p.Control, p.Faults = 200, Budget{}
	return &p
}
