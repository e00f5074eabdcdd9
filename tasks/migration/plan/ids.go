package plan

import (
	"bytes"
	"encoding/json"
	"errors"
)

// IDs says which Redis keeps the ids that an API has given, and how many. It may be written as the name of a connection alone.
type IDs struct {
	Connection string `json:"connection" yaml:"connection" doc:"The connection of the Redis, or its address."`
	MaxIDs     int64  `json:"max_ids,omitempty" yaml:"max_ids,omitempty" doc:"How many ids of the tenant it may hold, of all plans; a job that needs more fails. Default: 1,000,000."`
}

// UnmarshalJSON reads an object, or a text.
func (i *IDs) UnmarshalJSON(data []byte) error {
	var name string
	if json.Unmarshal(data, &name) == nil {
		*i = IDs{Connection: name}
		return nil
	}
	type plain IDs // has no methods
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode((*plain)(i)); err != nil {
		return errors.Join(errors.New("ids must be the name of a connection, or an object of connection and max_ids"), err)
	}
	return nil
}

// ids checks where ids are kept.
func (c *checker) ids(p *Plan) {
	if p.IDs == nil {
		return
	}
	if p.IDs.Connection == "" {
		c.add("ids.connection", "name a connection whose url begins with redis://", "is missing")
	}
	if p.IDs.MaxIDs < 0 {
		c.add("ids.max_ids", "leave it away for the default", "must be positive")
	}
	requests := false
	for i := range p.Stages {
		s := &p.Stages[i]
		if s.To.Table != "" {
			c.add("ids", "leave ids away", "the stage %s writes into a table: its ids are kept in the target, where they commit with its rows", s.Name)
			return
		}
		requests = requests || s.To.HTTP != nil
	}
	if !requests && len(p.Stages) > 0 {
		c.add("ids", "leave ids away", "no stage sends requests, so there are no ids to keep")
	}
	if p.IDs.Connection != "" && (p.IDs.Connection == p.Source || p.IDs.Connection == p.Target || p.IDs.Connection == p.State) {
		c.add("ids", "name the connection of a Redis", "%s is what the plan reads, writes to or keeps its ledger in", p.IDs.Connection)
	}
}
