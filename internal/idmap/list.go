package idmap

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Map is one map of a tenant.
type Map struct {
	Tenant string // "" is the default tenant
	Name   string // scope/entity
	IDs    int64
}

// List lists the maps of all tenants, by tenant and name.
func (m *Maps) List(ctx context.Context) ([]Map, error) {
	var mu sync.Mutex
	var list []Map
	one := func(ctx context.Context, c *redis.Client) error {
		found, err := mapsOf(ctx, c)
		mu.Lock()
		defer mu.Unlock()
		list = append(list, found...)
		return err
	}
	var err error
	switch c := m.client.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, one)
	case *redis.Client:
		err = one(ctx, c)
	}
	if err != nil {
		return nil, m.failed("list maps", err)
	}
	slices.SortFunc(list, func(a, b Map) int { return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Name, b.Name)) })
	return list, nil
}

// mapsOf lists the maps of the tenants that are on one node.
func mapsOf(ctx context.Context, c *redis.Client) ([]Map, error) {
	var list []Map
	seen := map[string]bool{} // SCAN may name a key twice
	keys := c.Scan(ctx, 0, prefix+"*}", 1_000).Iterator()
	for keys.Next(ctx) {
		tenant, ok := tenantOf(keys.Val())
		if !ok || seen[tenant] {
			continue
		}
		seen[tenant] = true
		fields, err := c.HGetAll(ctx, keys.Val()).Result()
		if err != nil {
			return nil, err
		}
		for field, n := range fields {
			if name, ok := strings.CutPrefix(field, "n:"); ok {
				ids, _ := strconv.ParseInt(n, 10, 64) // the scripts write whole numbers
				list = append(list, Map{tenant, name, ids})
			}
		}
	}
	return list, keys.Err()
}

// Forget removes one map of a tenant and returns how many ids it had; 0 when there was none. Its records count as never sent then.
func (m *Maps) Forget(ctx context.Context, tenant, name string) (int64, error) {
	n, err := forgetScript.Run(ctx, m.client, []string{mapsKey(tenant)}, name).Int64()
	if err != nil {
		return 0, m.failed("forget "+name, err)
	}
	return n, nil
}
