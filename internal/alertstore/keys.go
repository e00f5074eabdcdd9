package alertstore

import (
	"strconv"
	"time"
)

// Every key of alerts in Redis shares the hash tag {alerts}, so that what an evaluation changes is changed in one call, on a Redis
// Cluster, too.
const prefix = "stint:{alerts}:"

const (
	// rulesKey: hash, name of a rule -> the rule as json. The set that is evaluated, replaced as a whole. The field "" says of it when,
	// by whom and out of which files it was made.
	rulesKey = prefix + "rules"
	// beatsKey: sorted set, name of a rule with a heartbeat -> by when it has to be evaluated again, ms of a clock.
	beatsKey = prefix + "beats"
	// currentKey: hash, "<rule>\0<key>" -> id of the alert that is not over.
	currentKey = prefix + "current"
	// openKey: sorted set, id of an alert that is not over -> opened, ms.
	openKey = prefix + "open"
	// closedKey: sorted set, id of an alert that is over -> resolved, ms. At most maxClosed; they expire after Options.Keep.
	closedKey = prefix + "closed"
	// nextKey: sorted set, id of an alert -> when it is to be looked at, ms.
	nextKey = prefix + "next"
	// silencesKey: hash, id -> json of a silence of rules.
	silencesKey = prefix + "silences"
	// channelsKey: sorted set, channel with messages that wait -> when the first of them is due, or a lease ends, ms.
	channelsKey = prefix + "channels"
)

// stateKey: hash. What a rule remembers (v counts its writes, body is the state) and how its last evaluation went. It expires keepState
// after its rule was removed.
func stateKey(rule string) string { return prefix + "state:" + rule }

// alertKey: hash. v counts the writes, body is the alert as json, state is the one in it.
func alertKey(id string) string { return prefix + "a:" + id }

// dueKey: sorted set, id of a message to a channel -> when it is to be sent, ms; under a lease, when that ends.
func dueKey(channel string) string { return prefix + "due:" + channel }

// messageKey: hash. body is the message as json; lease the token of who sends it; sending, while it is being sent, the one under which
// that was begun; tries counts. It is gone when it has been settled.
func messageKey(id string) string { return prefix + "m:" + id }

// signKey: hash. v and body, ms: something that is told but once, such as today's sign of life, was posted.
func signKey(name string) string { return prefix + "sign:" + name }

// restKey: hash. until, ms: nothing is sent to a channel before; failures: how many messages in a row have failed. It expires restsFor
// after it was written.
func restKey(channel string) string { return prefix + "rest:" + channel }

// rateKey: number. How many messages a channel had in a minute; expires soon after it.
func rateKey(channel string, minute time.Time) string {
	return prefix + "rate:" + channel + ":" + strconv.FormatInt(minute.Unix(), 10)
}
