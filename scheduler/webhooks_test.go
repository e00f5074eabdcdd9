package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/webhook"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func secretOf(t *testing.T, text string) webhook.Secret {
	t.Helper()
	s, err := webhook.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// inbox is a receiver that keeps what it gets.
type inbox struct {
	*httptest.Server
	mu     sync.Mutex
	got    []wire.Message
	bodies []string
	faults []error
	answer func(n int, w http.ResponseWriter) // to the n-th request; nil answers 204
}

func newInbox(t *testing.T, answer func(n int, w http.ResponseWriter)) *inbox {
	t.Helper()
	in := &inbox{answer: answer}
	secret := secretOf(t, testSecret)
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = webhook.Verify(secret, r.Header, body, time.Now())
		}
		var m wire.Message
		if err == nil {
			err = json.Unmarshal(body, &m)
		}
		if err == nil && (m.ID != r.Header.Get("webhook-id") || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json") {
			err = fmt.Errorf("%s %v of %s", r.Method, r.Header, m.ID)
		}
		in.mu.Lock()
		in.got, in.bodies = append(in.got, m), append(in.bodies, string(body))
		if err != nil {
			in.faults = append(in.faults, err)
		}
		n := len(in.got)
		in.mu.Unlock()
		if in.answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		in.answer(n, w)
	}))
	t.Cleanup(func() {
		in.Close()
		for _, err := range in.faults {
			t.Errorf("a message is wrong: %v", err)
		}
	})
	return in
}

// words are the events that came, in their order.
func (in *inbox) words() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	var list []string
	for _, m := range in.got {
		list = append(list, m.Event)
	}
	return strings.Join(list, " ")
}

func (in *inbox) count() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.got)
}

func (in *inbox) hook(t *testing.T, name string, change ...func(*Webhook)) Webhook {
	t.Helper()
	w := Webhook{WebhookDefinition: wire.WebhookDefinition{Name: name}, Address: in.URL + "/hook?key=hidden", Secrets: []webhook.Secret{secretOf(t, testSecret)}, Private: true}
	for _, c := range change {
		c(&w)
	}
	return w
}

// sender starts a scheduler that tries again at once.
func (r *room) sender(hooks ...Webhook) *Scheduler {
	r.t.Helper()
	s := New(r.rdb, r.st, Options{Log: r.log.Logger(), Interval: 20 * time.Millisecond, RemoveOthers: true, Webhooks: hooks})
	s.resend = []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}
	s.Start()
	r.t.Cleanup(s.Stop)
	return s
}

// whole lets a job start and succeed.
func (r *room) whole(id string, change ...func(*tasks.Job)) {
	r.t.Helper()
	job := enginetest.Job(id, 1)
	for _, c := range change {
		c(&job)
	}
	h, _, err := r.st.Create(r.t.Context(), job)
	if err != nil {
		r.t.Fatal(err)
	}
	attempt := r.lease(h.Enqueue[0], "w")
	if _, err := r.st.PlanDone(r.t.Context(), h.Enqueue[0], attempt, nil); err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) defs(hooks ...Webhook) {
	r.t.Helper()
	if err := r.st.SetWebhooks(r.t.Context(), Definitions(hooks)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) hookState(name string) wire.Webhook {
	r.t.Helper()
	list, err := r.st.Webhooks(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, w := range list {
		if w.Name == name {
			return w
		}
	}
	return wire.Webhook{}
}

func TestAWebhookIsToldOfStartAndEndOnceWithAnyNumberOfSchedulers(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	in := newInbox(t, nil)
	hook := in.hook(t, "ops", func(w *Webhook) { w.Tenants = []string{"acme"} })
	r.defs(hook)
	for range 3 {
		r.sender(hook)
	}
	for i := range 10 {
		r.whole(fmt.Sprint("job-", i), func(j *tasks.Job) { j.Tenant = "acme" })
		r.whole(fmt.Sprint("other-", i))
	}
	enginetest.Eventually(t, "all messages arrive", func() bool { return in.count() >= 20 })
	enginetest.Eventually(t, "all jobs are told", func() bool {
		ids, err := r.st.Active(t.Context())
		return err == nil && len(ids) == 0 && r.hookState("ops").Pending == 0
	})
	seen := map[string]int{}
	for _, m := range in.got {
		seen[m.Job.ID+" "+m.Event]++
		if m.Job.Tenant != "acme" || m.Hook != "ops" || m.At.IsZero() {
			t.Errorf("%+v", m)
		}
	}
	for i := range 10 {
		for _, event := range []string{wire.EventStarted, wire.EventSucceeded} {
			if n := seen[fmt.Sprintf("job-%d %s", i, event)]; n != 1 {
				t.Errorf("job-%d %s came %d times", i, event, n)
			}
		}
	}
	if len(seen) != 20 {
		t.Errorf("messages: %v", seen)
	}
	if w := r.hookState("ops"); w.Delivered != 20 || w.State != wire.WebhookActive {
		t.Errorf("%+v", w)
	}
}

func TestAMessageThatDoesNotArriveIsSentAgainWithTheSameIDUntilItsBudgetIsSpent(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	var broken atomic.Bool
	broken.Store(true)
	in := newInbox(t, func(n int, w http.ResponseWriter) {
		if broken.Load() || n == 5 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	hook := in.hook(t, "ops", func(w *Webhook) { w.Events = []string{wire.EventSucceeded} })
	r.defs(hook)
	r.sender(hook)
	r.whole("job")
	enginetest.Eventually(t, "it is given up", func() bool { return r.hookState("ops").GaveUp == 1 })
	list, err := r.st.Deliveries(t.Context(), "ops", "", 10)
	if err != nil || len(list) != 1 || list[0].State != wire.DeliveryGaveUp || list[0].Attempts != 4 || list[0].Status != 500 || strings.Contains(list[0].Error, "hidden") {
		t.Fatalf("%+v %v", list, err)
	}
	broken.Store(false)
	if _, err := r.st.SendAgain(t.Context(), "ops", list[0].ID); err != nil {
		t.Fatal(err)
	}
	enginetest.Eventually(t, "it arrives", func() bool { return r.hookState("ops").Delivered == 1 })
	if in.count() != 6 {
		t.Errorf("%d attempts, want 6", in.count())
	}
	for _, body := range in.bodies {
		if body != in.bodies[0] {
			t.Errorf("the message has changed: %s, %s", in.bodies[0], body)
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	elsewhere := newInbox(t, nil)
	in := newInbox(t, func(_ int, w http.ResponseWriter) {
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	hook := in.hook(t, "ops")
	r.defs(hook)
	r.sender(hook)
	r.whole("job")
	enginetest.Eventually(t, "it is given up", func() bool { return r.hookState("ops").GaveUp == 2 })
	if w := r.hookState("ops"); elsewhere.count() != 0 || !strings.Contains(w.LastError, "redirects are not followed") {
		t.Errorf("%d followed; %+v", elsewhere.count(), w)
	}
}

func TestAnAddressOfAPrivateNetworkIsDialledOnlyWhereThatIsAllowed(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	in := newInbox(t, nil)
	named := strings.Replace(in.URL, "127.0.0.1", "localhost", 1)
	hook := in.hook(t, "ops", func(w *Webhook) { w.Private, w.Address = false, named+"/hook?key=hidden" })
	r.defs(hook)
	r.sender(hook)
	r.whole("job")
	enginetest.Eventually(t, "it is given up", func() bool { return r.hookState("ops").GaveUp == 2 })
	if w := r.hookState("ops"); in.count() != 0 || !strings.Contains(w.LastError, "private: true") || strings.Contains(w.LastError, "hidden") {
		t.Errorf("%d arrived; %+v", in.count(), w)
	}
}

func TestAReceiverThatIsGoneGetsNothingMoreUntilSomebodySendsAMessageByHand(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	var gone atomic.Bool
	gone.Store(true)
	in := newInbox(t, func(_ int, w http.ResponseWriter) {
		if gone.Load() {
			w.WriteHeader(http.StatusGone)
		}
	})
	hook := in.hook(t, "ops", func(w *Webhook) { w.Events = []string{wire.EventSucceeded} })
	r.defs(hook)
	r.sender(hook)
	r.whole("one")
	enginetest.Eventually(t, "it has ended", func() bool { return r.hookState("ops").State == wire.WebhookEnded })
	r.whole("two")
	enginetest.Eventually(t, "the next is given up", func() bool { return r.hookState("ops").GaveUp == 2 })
	if in.count() != 1 {
		t.Errorf("%d were sent, want 1", in.count())
	}
	gone.Store(false)
	list, err := r.st.Deliveries(t.Context(), "ops", wire.DeliveryGaveUp, 1)
	if err != nil || len(list) != 1 || list[0].Job != "two" || list[0].Attempts != 0 {
		t.Fatalf("%+v %v", list, err)
	}
	if _, err := r.st.SendAgain(t.Context(), "ops", list[0].ID); err != nil {
		t.Fatal(err)
	}
	enginetest.Eventually(t, "it arrives", func() bool { return r.hookState("ops").State == wire.WebhookActive })
	r.whole("three")
	enginetest.Eventually(t, "so does the next", func() bool { return r.hookState("ops").Delivered == 2 })
}

func TestAReceiverThatDoesNotAnswerHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	release := make(chan struct{})
	slow := newInbox(t, func(int, http.ResponseWriter) { <-release })
	t.Cleanup(func() { close(release) }) // before the server waits for its requests
	fast := newInbox(t, nil)
	hooks := []Webhook{slow.hook(t, "slow"), fast.hook(t, "fast")}
	r.defs(hooks...)
	r.sender(hooks...)
	for i := range 10 {
		r.whole(fmt.Sprint("job-", i))
	}
	enginetest.Eventually(t, "the other is told of everything", func() bool { return fast.count() == 20 })
	if n := slow.count(); n > together {
		t.Errorf("%d at once, want %d at most", n, together)
	}
}

// A scheduler is killed after each of the calls that it makes for a message, from the outbox of the job to the answer; the next one
// finds what it left: nothing is lost, and what comes twice has the same id.
func TestNoMessageIsLostWhereverASchedulerDies(t *testing.T) {
	t.Parallel()
	const calls = 18
	var whole atomic.Bool
	t.Run("after", func(t *testing.T) {
		for n := range calls {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				r := newRoom(t)
				in := newInbox(t, nil)
				hook := in.hook(t, "ops")
				r.defs(hook)
				r.whole("job")
				rdb := redis.NewClient(r.server.Options())
				defer rdb.Close()
				if err := rdb.Ping(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
				m := &mortal{}
				m.left.Store(int64(n))
				rdb.AddHook(m)
				dying := New(rdb, store.New(rdb), Options{Log: r.log.Logger(), Webhooks: []Webhook{hook}})
				to := newReceiver(hook, resend)
				defer to.close()
				err := dying.gather(t.Context(), "job")
				if err == nil {
					_, err = dying.deliver(t.Context(), hook, to)
				}
				if err == nil {
					whole.Store(true)
				}
				for _, key := range r.rdb.Keys(t.Context(), "stint:{webhooks}:due:*").Val() { // the lease of the dead has ended
					for _, id := range r.rdb.ZRange(t.Context(), key, 0, -1).Val() {
						r.rdb.ZAdd(t.Context(), key, redis.Z{Score: 1, Member: id})
					}
				}
				r.sender(hook)
				enginetest.Eventually(t, "everything arrives", func() bool { return r.hookState("ops").Delivered >= 2 && r.hookState("ops").Pending == 0 })
				ids := map[string]bool{}
				for _, msg := range in.got {
					ids[msg.ID] = true
				}
				if len(ids) != 2 {
					t.Errorf("%d messages, want 2: %s", len(ids), in.words())
				}
			})
		}
	})
	if !whole.Load() {
		t.Errorf("no scheduler lived to the end: %d calls are too few", calls)
	}
}

func TestHowLongAReceiverIsLeftAloneIsItsOwnToSay(t *testing.T) {
	t.Parallel()
	in := newInbox(t, func(n int, w http.ResponseWriter) {
		w.Header().Set("Retry-After", []string{"", "90", "999999", "tomorrow"}[n])
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	to := newReceiver(in.hook(t, "ops"), resend)
	defer to.close()
	body := []byte(`{"id":"msg_1"}`)
	for _, want := range [][2]time.Duration{{90 * time.Second, 91 * time.Second}, {time.Hour, time.Hour}, {5 * time.Second, 6 * time.Second}} {
		s := to.attempt(t.Context(), store.Outgoing{ID: "msg_1", Body: body})
		if s.State != wire.DeliveryPending || s.Again < want[0] || s.Again > want[1] {
			t.Errorf("%+v, want again within %v", s, want)
		}
	}
}

func TestTheAttemptsSpreadOverADay(t *testing.T) {
	t.Parallel()
	sum := time.Duration(0)
	for i, d := range resend {
		if sum += d; i > 0 && d <= resend[i-1] {
			t.Errorf("%v after %v", d, resend[i-1])
		}
	}
	if sum < 23*time.Hour || sum > 25*time.Hour {
		t.Errorf("%v in all", sum)
	}
}

func TestWebhooksThatRedisHasLostAreWrittenAgain(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	in := newInbox(t, nil)
	r.sender(in.hook(t, "ops"))
	enginetest.Eventually(t, "they are written", func() bool { return r.hookState("ops").Name == "ops" })
	r.whole("job")
	enginetest.Eventually(t, "messages arrive", func() bool { return in.count() == 2 })
}

func TestASchedulerThatACommandBringsAlongLeavesMessagesToThoseOfTheFleet(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	in := newInbox(t, nil)
	hook := in.hook(t, "ops")
	r.defs(hook)
	r.scheduler(Options{Interval: 20 * time.Millisecond})
	r.whole("job")
	enginetest.Eventually(t, "the job is told", func() bool { return r.hookState("ops").Pending == 2 })
	r.sender(hook)
	enginetest.Eventually(t, "they arrive", func() bool { return in.count() == 2 })
}

func TestMessagesAreSentFromACluster(t *testing.T) {
	t.Parallel()
	c := redistest.NewCluster(t, 3)
	rdb := redis.NewClusterClient(c.Options())
	t.Cleanup(func() { _ = rdb.Close() })
	st := store.New(rdb)
	in := newInbox(t, nil)
	s := New(rdb, st, Options{Interval: 20 * time.Millisecond, RemoveOthers: true, Webhooks: []Webhook{in.hook(t, "ops")}, Log: (&enginetest.Log{}).Logger()})
	s.Start()
	t.Cleanup(s.Stop)
	enginetest.Eventually(t, "webhooks are written", func() bool {
		list, err := st.Webhooks(t.Context())
		return err == nil && len(list) == 1
	})
	for i := range 4 {
		h, _, err := st.Create(t.Context(), enginetest.Job(fmt.Sprint("job-", i), 1))
		if err != nil {
			t.Fatal(err)
		}
		attempt := store.RandomID()
		if b, err := st.Begin(context.Background(), h.Enqueue[0], attempt, "w", "v"); err != nil || b.Code != store.Begun {
			t.Fatal(b, err)
		}
		if _, err := st.PlanDone(t.Context(), h.Enqueue[0], attempt, nil); err != nil {
			t.Fatal(err)
		}
	}
	enginetest.Eventually(t, "all arrive", func() bool { return in.count() == 8 })
}
