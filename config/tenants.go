package config

// Limits bound what one tenant takes. The zero value bounds nothing.
type Limits struct {
	// RunningJobs is how many jobs run at once; 0 means no limit.
	RunningJobs int `key:"running_jobs"`
	// StepsPerSecond is how many steps begin in a second; 0 means no limit.
	StepsPerSecond int `key:"steps_per_second"`
}

func (l Limits) check(k *checker, prefix string) {
	k.notNegative(prefix+"running_jobs", l.RunningJobs, "0 is no limit")
	k.notNegative(prefix+"steps_per_second", l.StepsPerSecond, "0 is no limit")
}

// Tenant has limits of its own.
type Tenant struct {
	// Name is what jobs call the tenant; case counts.
	Name string `key:"name" jsonschema:"required"`
	// Limits hold instead of those of every tenant; a part that nobody has set is theirs.
	Limits
}

// Tenants are in the order in which their names first appeared.
type Tenants []Tenant

// LimitsOf returns what holds for a tenant, whether it is named or not.
func (c *Config) LimitsOf(tenant string) Limits {
	for _, t := range c.Tenants {
		if t.Name == tenant {
			return t.Limits
		}
	}
	return c.Limits
}
