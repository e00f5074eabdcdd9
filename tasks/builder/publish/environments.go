package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// What callers decide by.
var (
	// ErrGate: the version may not stand in the environment.
	ErrGate = errors.New("promotion refused")
	// ErrRival: somebody else has promoted at the same moment. Nothing was written.
	ErrRival = errors.New("another promotion was faster")
	// ErrEmpty: nothing has been promoted to the environment yet.
	ErrEmpty = errors.New("nothing stands in the environment")
)

// Environment is a place where versions stand, one after the other.
type Environment struct {
	Name string // a-z, 0-9 and -
	// Channels are of the versions that may stand there: release, branch. None is release alone.
	Channels []string
}

// EnvironmentsOptions say which environments there are.
type EnvironmentsOptions struct {
	// Order is the way of a version: each but the first takes only what stands in the one before.
	Order []Environment
}

// Environments says which version stands where. A promotion is a record in the artifact store, and moves no bytes:
//
//	environments/ENVIRONMENT/PRODUCT/00000001.json, 00000002.json, ...
//
// Each is created if absent under the next number, so that of two who promote at once one wins and the other is told (ErrRival).
type Environments struct {
	store     artifact.Store
	catalogue *Catalogue
	order     []Environment
}

// NewEnvironments returns the environments of an artifact store, the same that has the catalogue. Any number of processes may use them.
func NewEnvironments(s artifact.Store, o EnvironmentsOptions) *Environments {
	return &Environments{s, NewCatalogue(s), o.Order}
}

// Promotion is what somebody asks for.
type Promotion struct {
	Environment string
	Product     string
	Version     string
	By          string // a person, or a job
	Why         string // for people; may be empty
	At          time.Time
}

// Record is a promotion that was made.
type Record struct {
	Sequence    int       `json:"sequence"` // from 1
	Environment string    `json:"environment"`
	Product     string    `json:"product"`
	Version     string    `json:"version"`
	Channel     string    `json:"channel"`
	Commit      string    `json:"commit,omitempty"`
	Packages    []Package `json:"packages"` // of the catalogue, with their digests
	By          string    `json:"by"`
	Why         string    `json:"why,omitempty"`
	At          time.Time `json:"at"`
	// From is the environment that it stood in before; "" for the first, and for a version that goes back to where it has stood.
	From string `json:"from,omitempty"`
	// Replaces is the version that stood there; "" when none did.
	Replaces string `json:"replaces,omitempty"`
}

func (e *Environments) find(name string) (i int, err error) {
	i = slices.IndexFunc(e.order, func(x Environment) bool { return x.Name == name })
	if i < 0 {
		var names []string
		for _, x := range e.order {
			names = append(names, x.Name)
		}
		return i, tasks.Permanent(tasks.WithHint(ErrGate, "there are: "+strings.Join(names, ", "), "there is no environment %q", name))
	}
	return i, nil
}

func refuse(hint, format string, args ...any) error {
	return tasks.Permanent(tasks.WithHint(ErrGate, hint, format, args...))
}

// Promote lets a version stand in an environment. already is that it stands there now. The version must be in the catalogue with its
// packages, its channel allowed, and it must stand in the environment before, or have stood in this one: to go back is no promotion.
// What must not be is ErrGate. A crash leaves the record whole or not there.
func (e *Environments) Promote(ctx context.Context, p Promotion) (r Record, already bool, err error) {
	i, err := e.find(p.Environment)
	if err != nil {
		return r, false, err
	}
	history, err := e.sequences(ctx, p.Environment, p.Product)
	if err != nil {
		return r, false, err
	}
	now := Record{}
	if len(history) > 0 {
		if now, err = e.record(ctx, p.Environment, p.Product, history[len(history)-1]); err != nil {
			return r, false, err
		}
		if now.Version == p.Version {
			return now, true, nil
		}
	}
	release, err := e.gate(ctx, e.order[i], p)
	if err != nil {
		return r, false, err
	}
	r = Record{Sequence: now.Sequence + 1, Environment: p.Environment, Product: p.Product, Version: p.Version, Channel: release.Channel, Commit: release.Commit,
		Packages: release.Packages, By: p.By, Why: p.Why, At: p.At.UTC(), Replaces: now.Version}
	if i > 0 {
		if r.From, err = e.before(ctx, e.order[i-1].Name, p, history); err != nil {
			return r, false, err
		}
	}
	if err := create(ctx, e.store, e.key(p.Environment, p.Product, r.Sequence), r); errors.Is(err, artifact.ErrExists) {
		return e.lost(ctx, p, r.Sequence)
	} else if err != nil {
		return r, false, err
	}
	if _, gone, err := e.catalogue.Removed(ctx, p.Product, p.Version); err != nil || gone {
		return r, false, errors.Join(err, tasks.WithHint(ErrRemoved, "promote another version, or this one again if the sweep has let it be", "%s %s was being removed when it was promoted to %s", p.Product, p.Version, p.Environment))
	}
	return r, false, nil
}

// gate looks at the version itself.
func (e *Environments) gate(ctx context.Context, to Environment, p Promotion) (Release, error) {
	release, err := e.catalogue.Get(ctx, p.Product, p.Version)
	if errors.Is(err, ErrUnknown) {
		return release, tasks.Permanent(err)
	}
	if err != nil {
		return release, err
	}
	if _, gone, err := e.catalogue.Removed(ctx, p.Product, p.Version); err != nil {
		return release, err
	} else if gone {
		return release, tasks.Permanent(tasks.WithHint(ErrRemoved, "choose a version that is kept", "%s %s has no packages any more", p.Product, p.Version))
	}
	allowed := to.Channels
	if len(allowed) == 0 {
		allowed = []string{"release"}
	}
	if !slices.Contains(allowed, release.Channel) {
		return release, refuse("in "+to.Name+" may stand: "+strings.Join(allowed, ", "), "%s %s is of the channel %s, which may not stand in %s", p.Product, p.Version, release.Channel, to.Name)
	}
	return release, nil
}

// before returns the environment that a version comes from; "" when it goes back to where it has stood.
func (e *Environments) before(ctx context.Context, from string, p Promotion, history []int) (string, error) {
	there, err := e.Current(ctx, from, p.Product)
	if err != nil && !errors.Is(err, ErrEmpty) {
		return "", err
	}
	if err == nil && there.Version == p.Version {
		return from, nil
	}
	for _, n := range slices.Backward(history) {
		r, err := e.record(ctx, p.Environment, p.Product, n)
		if err != nil {
			return "", err
		}
		if r.Version == p.Version {
			return "", nil
		}
	}
	stands := "nothing does"
	if there.Version != "" {
		stands = there.Version + " does"
	}
	return "", refuse("promote it to "+from+" first", "%s %s does not stand in %s (%s)", p.Product, p.Version, from, stands)
}

// lost says what a rival has written.
func (e *Environments) lost(ctx context.Context, p Promotion, n int) (Record, bool, error) {
	r, err := e.record(ctx, p.Environment, p.Product, n)
	if err != nil {
		return r, false, err
	}
	if r.Version == p.Version {
		return r, true, nil
	}
	return r, false, tasks.WithHint(ErrRival, "look at it, and promote again if it is still meant", "%s has just promoted %s %s to %s", r.By, r.Product, r.Version, r.Environment)
}

// Current returns what stands in an environment: ErrEmpty where nothing does.
func (e *Environments) Current(ctx context.Context, environment, product string) (Record, error) {
	list, err := e.History(ctx, environment, product, 1)
	if err != nil {
		return Record{}, err
	}
	if len(list) == 0 {
		return Record{}, tasks.WithHint(ErrEmpty, "promote a version to it", "nothing of %s stands in %s", product, environment)
	}
	return list[0], nil
}

// History returns the newest promotions of a product to an environment, the newest first; limit 0 is all.
func (e *Environments) History(ctx context.Context, environment, product string, limit int) ([]Record, error) {
	if _, err := e.find(environment); err != nil {
		return nil, err
	}
	sequences, err := e.sequences(ctx, environment, product)
	if err != nil {
		return nil, err
	}
	var list []Record
	for _, n := range slices.Backward(sequences) {
		if limit > 0 && len(list) == limit {
			break
		}
		r, err := e.record(ctx, environment, product, n)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// Standing returns, of each version of a product that stands somewhere, in which environments: for Sweep's held.
func (e *Environments) Standing(ctx context.Context, product string) (map[string][]string, error) {
	standing := map[string][]string{}
	for _, x := range e.order {
		r, err := e.Current(ctx, x.Name, product)
		if errors.Is(err, ErrEmpty) {
			continue
		}
		if err != nil {
			return nil, err
		}
		standing[r.Version] = append(standing[r.Version], x.Name)
	}
	return standing, nil
}

// folderOf has the records of an environment.
func folderOf(environment string) string {
	return artifact.OwnEnvironments + "/" + artifact.Escape(environment) + "/"
}

// Products calls product with the name of each product that has been promoted to an environment, in the order of their keys. What lies
// there and is no record of a promotion is passed over, and strange is called with one key of each such folder, or file.
func (e *Environments) Products(ctx context.Context, environment string, product func(name string) error, strange func(key string)) error {
	folder := folderOf(environment)
	for after := ""; ; {
		list, err := e.store.List(ctx, folder, after, 1)
		if err != nil || len(list) == 0 {
			return err
		}
		key := list[0].Key
		word, _, inside := strings.Cut(strings.TrimPrefix(key, folder), "/")
		if !inside {
			strange(key)
			after = key
			continue
		}
		after = folder + word + "0" // 0 is what comes behind the slash
		first := key
		if sequenceOf(key, folder+word+"/") == 0 {
			strange(key)
			if first, err = e.first(ctx, folder+word+"/"); err != nil {
				return err
			}
		}
		if first == "" {
			continue
		}
		var r Record
		if err := read(ctx, e.store, first, &r); err != nil {
			return err
		}
		if e.prefix(environment, r.Product) != folder+word+"/" {
			return tasks.WithHint(nil, "it was damaged, or put there by something else: look at it", "%s is the record of a promotion of %q", first, r.Product)
		}
		if err := product(r.Product); err != nil {
			return err
		}
	}
}

// first returns the key of the first record below a prefix; "" when there is none.
func (e *Environments) first(ctx context.Context, prefix string) (string, error) {
	for after := ""; ; {
		list, err := e.store.List(ctx, prefix, after, page)
		if err != nil {
			return "", err
		}
		for _, i := range list {
			if after = i.Key; sequenceOf(i.Key, prefix) > 0 {
				return i.Key, nil
			}
		}
		if len(list) < page {
			return "", nil
		}
	}
}

// sequenceOf returns the number of a record of a promotion by its key; 0 for the key of anything else.
func sequenceOf(key, prefix string) int {
	digits, _ := strings.CutSuffix(strings.TrimPrefix(key, prefix), ".json")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || key != prefix+recordName(n) {
		return 0
	}
	return n
}

func recordName(n int) string { return fmt.Sprintf("%08d.json", n) }

func (e *Environments) prefix(environment, product string) string {
	return folderOf(environment) + artifact.Escape(product) + "/"
}

func (e *Environments) key(environment, product string, n int) string {
	return e.prefix(environment, product) + recordName(n)
}

// sequences lists the numbers of all promotions, in order. What else lies there is none of them.
func (e *Environments) sequences(ctx context.Context, environment, product string) ([]int, error) {
	prefix := e.prefix(environment, product)
	var list []int
	err := eachKey(ctx, e.store, prefix, func(key string) error {
		if n := sequenceOf(key, prefix); n > 0 {
			list = append(list, n)
		}
		return nil
	})
	return list, err
}

func (e *Environments) record(ctx context.Context, environment, product string, n int) (r Record, err error) {
	err = read(ctx, e.store, e.key(environment, product, n), &r)
	return r, err
}
