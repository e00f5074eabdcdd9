package wire

import (
	"time"

	"github.com/stint-run/stint/tasks"
)

// What webhooks tell of a job.
const (
	EventStarted   = "started"   // its first step has begun; once for each run of the job
	EventSucceeded = "succeeded" // every step of every stage has ended
	EventFailed    = "failed"    // a step failed for good
	EventPaused    = "paused"
	EventResumed   = "resumed" // it goes on: somebody resumed it, or let it try again what had failed
	EventCancelled = "cancelled"
	EventTest      = "test" // somebody wants to see a message arrive; there is no job
)

// WebhookEvents are the events of a job that a webhook may ask for, in the order in which they usually come.
var WebhookEvents = []string{EventStarted, EventPaused, EventResumed, EventSucceeded, EventFailed, EventCancelled}

// NotifyLabel is the label of a job under which the webhooks stand that its submission names, separated by commas.
const NotifyLabel = "notify"

// WebhookDefinition says of which jobs a webhook is told what. Empty parts leave nothing out. Where it leads, and what it is
// signed with, only the configuration knows.
type WebhookDefinition struct {
	Name    string            `json:"name"`
	URL     string            `json:"url" doc:"Scheme and host of where it leads; the rest may be a secret"`
	Events  []string          `json:"events,omitempty" doc:"What it is told; left out, everything"`
	Kinds   []string          `json:"kinds,omitempty" doc:"Of jobs of these kinds alone"`
	Tenants []string          `json:"tenants,omitempty" doc:"Of jobs of these tenants alone"`
	Labels  map[string]string `json:"labels,omitempty" doc:"Of jobs with all of these labels alone"`
	Asked   bool              `json:"asked,omitempty" doc:"Of jobs alone whose submission names it"`
}

// States of a webhook.
const (
	WebhookActive  = "active"  // the last message arrived, or none was sent yet
	WebhookFailing = "failing" // messages do not arrive; they are tried again
	WebhookEnded   = "ended"   // its receiver answered 410 Gone: nothing more is sent until a test or a message that is sent again by hand arrives, or it leads elsewhere
)

// Webhook is a webhook of the configuration, and how it fares.
type Webhook struct {
	WebhookDefinition
	State      string     `json:"state" enum:"active,failing,ended"`
	Pending    int64      `json:"pending" doc:"Messages that have yet to arrive"`
	Delivered  int64      `json:"delivered" doc:"Messages that arrived"`
	GaveUp     int64      `json:"gave_up" doc:"Messages that did not arrive, and are not tried any more"`
	Failing    *time.Time `json:"failing_since" doc:"Since when no message has arrived; null while they do"`
	LastAt     *time.Time `json:"last_at" doc:"When a message was last sent; null for never"`
	LastStatus int        `json:"last_status,omitempty" doc:"The HTTP status of the last answer; left out when there was none"`
	LastError  string     `json:"last_error,omitempty" doc:"What was wrong with the last attempt"`
}

// Webhooks are those that there are.
type Webhooks struct {
	Webhooks []Webhook `json:"webhooks"`
}

// States of a delivery.
const (
	DeliveryPending   = "pending"   // has yet to arrive
	DeliveryDelivered = "delivered" // the receiver answered 2xx
	DeliveryGaveUp    = "gave_up"   // is not tried any more
)

// Delivery is a message to a webhook, and what became of it.
type Delivery struct {
	ID        string     `json:"id" doc:"The webhook-id of the message: the same each time it is sent"`
	Webhook   string     `json:"webhook"`
	Event     string     `json:"event" enum:"started,paused,resumed,succeeded,failed,cancelled,test"`
	Job       string     `json:"job,omitempty" doc:"Left out of a test"`
	Tenant    string     `json:"tenant,omitempty"`
	State     string     `json:"state" enum:"pending,delivered,gave_up"`
	Attempts  int        `json:"attempts" doc:"How often it was sent"`
	Status    int        `json:"status,omitempty" doc:"The HTTP status of the last answer; left out when there was none"`
	Error     string     `json:"error,omitempty" doc:"What was wrong with the last attempt"`
	TookMS    int64      `json:"took_ms,omitempty" doc:"How long the last attempt took"`
	CreatedAt time.Time  `json:"created_at"`
	NextAt    *time.Time `json:"next_at" doc:"When it is tried next; null when it is not"`
	EndedAt   *time.Time `json:"ended_at" doc:"When it arrived or was given up; null before"`
}

// Deliveries are messages to a webhook, newest first.
type Deliveries struct {
	Deliveries []Delivery `json:"deliveries"`
}

// Message is the body of what a webhook is sent.
type Message struct {
	ID    string      `json:"id"`             // the same each time the message is sent
	Event string      `json:"event"`          // one of WebhookEvents, or EventTest
	Job   *MessageJob `json:"job"`            // nil in a test
	At    time.Time   `json:"at"`             // when it happened, by Redis' clock
	Hook  string      `json:"hook,omitempty"` // the name of the webhook
}

// MessageJob is a job as it stood when what a message tells happened.
type MessageJob struct {
	ID        string            `json:"id"`
	Kind      string            `json:"kind"`
	Tenant    string            `json:"tenant"`
	Epoch     int64             `json:"epoch"` // which run of the job
	State     tasks.State       `json:"state"`
	Labels    map[string]string `json:"labels,omitempty"`
	Error     *JobError         `json:"error"` // nil unless it failed
	Counters  Counters          `json:"counters"`
	StartedAt *time.Time        `json:"started_at"`
	EndedAt   *time.Time        `json:"ended_at"`
}
