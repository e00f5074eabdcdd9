package deploy_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// object is as much of a Kubernetes object as the tests look at.
type object struct {
	file string

	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name string }
	Spec       struct {
		Replicas int
		Selector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		}
		Strategy struct {
			RollingUpdate struct {
				MaxSurge       string `yaml:"maxSurge"`
				MaxUnavailable string `yaml:"maxUnavailable"`
			} `yaml:"rollingUpdate"`
		}
		MaxUnavailable int `yaml:"maxUnavailable"`
		PodSelector    struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		} `yaml:"podSelector"`
		Ports []struct {
			Port       int
			TargetPort string `yaml:"targetPort"`
		}
		ScaleTargetRef struct{ Name string } `yaml:"scaleTargetRef"`
		Triggers       []struct {
			Type     string
			Metadata map[string]string
		}
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     pod
		}
	}
}

type pod struct {
	AutomountServiceAccountToken *bool `yaml:"automountServiceAccountToken"`
	EnableServiceLinks           *bool `yaml:"enableServiceLinks"`
	SecurityContext              struct {
		RunAsNonRoot   bool                  `yaml:"runAsNonRoot"`
		RunAsUser      int                   `yaml:"runAsUser"`
		SeccompProfile struct{ Type string } `yaml:"seccompProfile"`
	} `yaml:"securityContext"`
	InitContainers []container `yaml:"initContainers"`
	Containers     []container
	Volumes        []struct{ Name string }
}

type container struct {
	Name, Image string
	Args        []string
	Env         []struct{ Name, Value string }
	Ports       []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	StartupProbe    probe `yaml:"startupProbe"`
	LivenessProbe   probe `yaml:"livenessProbe"`
	ReadinessProbe  probe `yaml:"readinessProbe"`
	SecurityContext struct {
		AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
		Capabilities             struct{ Drop []string }
	} `yaml:"securityContext"`
	Resources struct {
		Limits map[string]string
	}
	VolumeMounts []struct{ Name string } `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

func (o object) where() string { return o.file + ": " + o.Kind + " " + o.Metadata.Name }

func (o object) containers() []container {
	return append(slices.Clone(o.Spec.Template.Spec.InitContainers), o.Spec.Template.Spec.Containers...)
}

// part is which of our deployments an object is, or is about.
func (o object) part() string { return strings.TrimPrefix(o.Metadata.Name, "stint-") }

// objects reads all manifests.
func objects(t *testing.T) []object {
	t.Helper()
	var list []object
	paths, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no manifests: %v", err)
	}
	for _, path := range paths {
		if name := filepath.Base(path); name == "kustomization.yaml" || name == "stint.yaml" {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		decoder := yaml.NewDecoder(f)
		for {
			o := object{file: path}
			if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if o.APIVersion == "" || o.Kind == "" || o.Metadata.Name == "" {
				t.Errorf("%s: has no apiVersion, kind or name", o.where())
			}
			list = append(list, o)
		}
	}
	return list
}

func of(t *testing.T, kind string) []object {
	t.Helper()
	list := slices.DeleteFunc(objects(t), func(o object) bool { return o.Kind != kind })
	if len(list) == 0 {
		t.Fatalf("there is no %s", kind)
	}
	return list
}

type kustomization struct {
	Namespace          string
	Resources          []string
	ConfigMapGenerator []struct {
		Name  string
		Files []string
	} `yaml:"configMapGenerator"`
	Images []struct {
		Name    string
		NewName string `yaml:"newName"`
		NewTag  string `yaml:"newTag"`
	}
}

func kustomize(t *testing.T) kustomization {
	t.Helper()
	var k kustomization
	if err := yaml.Unmarshal([]byte(read(t, "deploy/kubernetes/kustomization.yaml")), &k); err != nil {
		t.Fatal(err)
	}
	return k
}

// kustomized is an image after kustomize.
func kustomized(t *testing.T, image string) string {
	t.Helper()
	for _, i := range kustomize(t).Images {
		if i.Name == image {
			return i.NewName + ":" + i.NewTag
		}
	}
	return image
}

func TestTheKustomizationHasAllManifests(t *testing.T) {
	t.Parallel()
	k := kustomize(t)
	for _, path := range append(slices.Clone(k.Resources), k.ConfigMapGenerator[0].Files...) {
		if _, err := os.Stat(filepath.Join("kubernetes", path)); err != nil {
			t.Error(err)
		}
	}
	for _, o := range objects(t) {
		// keda.yaml only works where KEDA is.
		if name := filepath.Base(o.file); name != "keda.yaml" && !slices.Contains(k.Resources, name) {
			t.Errorf("%s is not in the kustomization", name)
		}
	}
}

func TestProbesAskThePortsThatAreOpen(t *testing.T) {
	t.Parallel()
	for _, o := range of(t, "Deployment") {
		c := o.Spec.Template.Spec.Containers[0]
		if len(c.Ports) != 1 {
			t.Fatalf("%s: ports %v", o.where(), c.Ports)
		}
		open := map[string]string{"serve": "STINT_API_LISTEN", "scheduler": "STINT_WORKER_ADMIN", "worker": "STINT_WORKER_ADMIN"}[o.part()]
		port := map[string]int{"STINT_API_LISTEN": 7800, "STINT_WORKER_ADMIN": 7801}[open]
		listens := slices.ContainsFunc(c.Env, func(e struct{ Name, Value string }) bool {
			return e.Name == open && strings.HasPrefix(e.Value, "0.0.0.0:") && e.Value == "0.0.0.0:"+map[int]string{7800: "7800", 7801: "7801"}[c.Ports[0].ContainerPort]
		})
		if c.Ports[0].ContainerPort != port || !listens {
			t.Errorf("%s listens by %v and has port %d, want %d off loopback: the kubelet asks from outside", o.where(), c.Env, c.Ports[0].ContainerPort, port)
		}
		for _, p := range []struct {
			name, path string
			probe      probe
		}{{"startup", "/livez", c.StartupProbe}, {"liveness", "/livez", c.LivenessProbe}, {"readiness", "/readyz", c.ReadinessProbe}} {
			if p.probe.HTTPGet.Path != p.path || p.probe.HTTPGet.Port != c.Ports[0].Name {
				t.Errorf("%s: the %s probe asks %+v, want %s on %s", o.where(), p.name, p.probe.HTTPGet, p.path, c.Ports[0].Name)
			}
		}
	}
	for _, o := range of(t, "Service") {
		if len(o.Spec.Ports) != 1 || o.Spec.Ports[0].Port != 7800 || o.Spec.Ports[0].TargetPort != "api" {
			t.Errorf("%s: ports %+v", o.where(), o.Spec.Ports)
		}
	}
}

func TestPodsMayDoLittle(t *testing.T) {
	t.Parallel()
	for _, o := range of(t, "Deployment") {
		p := o.Spec.Template.Spec
		if p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken || p.EnableServiceLinks == nil || *p.EnableServiceLinks {
			t.Errorf("%s has a token of the cluster, or variables of its services", o.where())
		}
		if s := p.SecurityContext; !s.RunAsNonRoot || s.RunAsUser != 65532 || s.SeccompProfile.Type != "RuntimeDefault" {
			t.Errorf("%s: securityContext %+v", o.where(), s)
		}
		for _, c := range o.containers() {
			s := c.SecurityContext
			if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
				t.Errorf("%s: %s: securityContext %+v", o.where(), c.Name, s)
			}
			if c.Resources.Limits["memory"] == "" {
				t.Errorf("%s: %s has no limit of memory", o.where(), c.Name)
			}
			for _, m := range c.VolumeMounts {
				if !slices.ContainsFunc(p.Volumes, func(v struct{ Name string }) bool { return v.Name == m.Name }) {
					t.Errorf("%s: %s mounts %s, which is no volume", o.where(), c.Name, m.Name)
				}
			}
		}
	}
}

func TestARolloutBringsNewPodsBeforeItTakesOldOnes(t *testing.T) {
	t.Parallel()
	replicas := map[string]int{"serve": 2, "scheduler": 2, "worker": 3}
	surge := map[string]string{"serve": "1", "scheduler": "1", "worker": "100%"}
	for _, o := range of(t, "Deployment") {
		if u := o.Spec.Strategy.RollingUpdate; u.MaxUnavailable != "0" || u.MaxSurge != surge[o.part()] {
			t.Errorf("%s: rollingUpdate %+v", o.where(), u)
		}
		if o.Spec.Replicas != replicas[o.part()] {
			t.Errorf("%s: %d replicas, want %d", o.where(), o.Spec.Replicas, replicas[o.part()])
		}
		if len(o.Spec.Selector.MatchLabels) == 0 || !same(o.Spec.Selector.MatchLabels, o.Spec.Template.Metadata.Labels) {
			t.Errorf("%s selects %v and labels %v", o.where(), o.Spec.Selector.MatchLabels, o.Spec.Template.Metadata.Labels)
		}
		if i := o.Spec.Template.Spec.InitContainers; len(i) != 1 || !slices.Equal(i[0].Args, []string{"config", "check"}) {
			t.Errorf("%s does not check its configuration first", o.where())
		}
		delete(replicas, o.part())
	}
	for part := range replicas {
		t.Errorf("there is no Deployment of %s", part)
	}
}

func same(a, b map[string]string) bool {
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return len(a) == len(b)
}

func TestBudgetsPoliciesAndScalersAreAboutPodsThatThereAre(t *testing.T) {
	t.Parallel()
	var labels []map[string]string
	for _, o := range of(t, "Deployment") {
		labels = append(labels, o.Spec.Template.Metadata.Labels)
	}
	chosen := func(selector map[string]string) bool {
		return slices.ContainsFunc(labels, func(l map[string]string) bool {
			for k, v := range selector {
				if l[k] != v {
					return false
				}
			}
			return len(selector) > 0
		})
	}
	budgets := of(t, "PodDisruptionBudget")
	if len(budgets) != len(labels) {
		t.Errorf("%d budgets for %d deployments", len(budgets), len(labels))
	}
	for _, o := range budgets {
		if !chosen(o.Spec.Selector.MatchLabels) || o.Spec.MaxUnavailable != 1 {
			t.Errorf("%s is about %v, %d unavailable", o.where(), o.Spec.Selector.MatchLabels, o.Spec.MaxUnavailable)
		}
	}
	for _, o := range of(t, "NetworkPolicy") {
		if !chosen(o.Spec.PodSelector.MatchLabels) {
			t.Errorf("%s is about %v", o.where(), o.Spec.PodSelector.MatchLabels)
		}
	}
	for _, o := range of(t, "ScaledObject") {
		if !slices.ContainsFunc(of(t, "Deployment"), func(d object) bool { return d.Metadata.Name == o.Spec.ScaleTargetRef.Name }) {
			t.Errorf("%s scales %s", o.where(), o.Spec.ScaleTargetRef.Name)
		}
		// The number of steps on the queue says how many are out, not how many are left.
		if tr := o.Spec.Triggers[0]; tr.Type != "metrics-api" || tr.Metadata["valueLocation"] != "backlog" ||
			tr.Metadata["url"] != "http://"+of(t, "Service")[0].Metadata.Name+"."+kustomize(t).Namespace+".svc:7800/v1/queues/default" {
			t.Errorf("%s asks %+v", o.where(), tr)
		}
	}
}
