package doctor_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stint-run/stint/cmd/internal/doctor"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/s3test"
)

func TestArtifactsAreWrittenAndReadToSee(t *testing.T) {
	t.Parallel()
	e := &examined{t: t, now: time.Now, config: &config.Config{Data: t.TempDir()}}
	e.find().want(t, "artifacts", "writable", doctor.OK, "not there yet")
	folder := filepath.Join(e.config.Data, "artifacts")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	found := e.find()
	found.want(t, "artifacts", "writable", doctor.OK, "written, read, listed and deleted")
	found.want(t, "artifacts", "space", doctor.OK, "free")
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e.find().want(t, "artifacts", "writable", doctor.Problem, "cannot make the folder")

	server, bucket := s3test.New(t)
	e.config.Artifacts = config.Artifacts{URL: config.NewURL("s3://" + bucket + "/p?endpoint=" + server.Endpoint),
		AccessKey: config.NewSecret(s3test.AccessKey), SecretKey: config.NewSecret(s3test.SecretKey)}
	e.find().want(t, "artifacts", "writable", doctor.OK, "s3://"+bucket+"/p")
	e.config.Artifacts.URL = config.NewURL("s3://none-of-ours?endpoint=" + server.Endpoint)
	e.find().want(t, "artifacts", "writable", doctor.Problem, "NoSuchBucket")
	e.config.Artifacts.URL = config.NewURL("s3://" + bucket + "?endpoint=http://127.0.0.1:1")
	e.find().want(t, "artifacts", "writable", doctor.Problem, "refused")
}
