package wire

import "github.com/stint-run/stint/tasks"

// Promote says where what a build has left behind comes to.
type Promote struct {
	Environment string `json:"environment" maxLength:"64" doc:"One of builds.environments"`
}

// Promotions are what is in each environment now.
type Promotions struct {
	Promotions []tasks.Promotion `json:"promotions"`
}
