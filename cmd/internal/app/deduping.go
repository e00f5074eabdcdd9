package app

import (
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks/dedupe"
)

// DedupeSpec is what a dedupe job of a store is asked for, by the configuration.
func DedupeSpec(d config.Dedupe, store string) dedupe.Spec {
	r := d.Rules
	s := dedupe.Spec{Store: store, Layout: layoutOf(d.Layout), Rules: dedupe.RuleSpec{Threshold: &r.Threshold, Containment: &r.Containment, RecencyDays: &r.RecencyDays,
		MaxShareCustomer: &r.MaxShareCustomer, MaxShare: &r.MaxShare, Exempt: r.Exempt}}
	if r.TemplateCustomers > 0 {
		s.Rules.TemplateCustomers = &r.TemplateCustomers
	}
	return s
}

func layoutOf(l config.DedupeLayout) datasets.Layout {
	out := datasets.Layout{Registry: datasets.Registry(l.Registry), Entity: l.Entity}
	for _, t := range l.Tables {
		out.Tables = append(out.Tables, datasets.Table{Table: t.Name, Customer: t.Customer, Database: t.Database, GUID: t.GUID, Kind: t.Kind})
	}
	return out
}

// DedupeApply is how an analysis is carried out, by the configuration.
func DedupeApply(d config.Dedupe, limit int) wire.Apply {
	a := d.Apply
	return wire.Apply{Limit: limit, Batch: a.Batch, Busy: a.Busy, MaxLag: durationText(a.MaxLag), MaxProbe: durationText(a.MaxProbe), MaxWaiting: a.MaxWaiting, MaxAge: durationText(a.MaxAge)}
}

// durationText is a duration as specs have it; "" is the default.
func durationText(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return d.String()
}
