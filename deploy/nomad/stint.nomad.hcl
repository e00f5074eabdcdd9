# nomad var put nomad/jobs/stint redis_password=@FILE cloud_password=@FILE
# nomad job run -var version=1.5.0 deploy/nomad/stint.nomad.hcl
# nomad alloc exec -task scheduler -job stint /stint tokens create --role admin --name ops

variable "version" {
  type        = string
  description = "What the image is tagged with, and what `stint version` says in it."
}

variable "image" {
  type    = string
  default = "example.com/stint"
}

job "stint" {
  type = "service"

  # All new ones beside the old ones; when they are healthy the old ones get SIGTERM, which drains them.
  update {
    max_parallel     = 3
    health_check     = "checks"
    min_healthy_time = "10s"
    healthy_deadline = "2m"
    auto_revert      = true
  }

  group "serve" {
    count = 2

    update {
      max_parallel = 1
    }

    network {
      port "api" {
        to = 7800
      }
    }

    service {
      name     = "stint-api"
      port     = "api"
      provider = "nomad"

      check {
        type     = "http"
        path     = "/readyz"
        interval = "5s"
        timeout  = "3s"
      }
    }

    task "serve" {
      driver       = "docker"
      user         = "65532:65532"
      kill_signal  = "SIGTERM"
      kill_timeout = "30s"

      config {
        image           = "${var.image}:${var.version}"
        args            = ["serve"]
        ports           = ["api"]
        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
      }

      env {
        STINT_CONFIG     = "/local/stint.yaml"
        STINT_API_LISTEN = "0.0.0.0:7800"
      }

      template {
        destination = "local/stint.yaml"
        data        = file("stint.yaml")
      }

      template {
        destination = "secrets/redis-password"
        perms       = "0444"
        data        = "{{ with nomadVar \"nomad/jobs/stint\" }}{{ .redis_password }}{{ end }}"
      }

      template {
        destination = "secrets/cloud-password"
        perms       = "0444"
        data        = "{{ with nomadVar \"nomad/jobs/stint\" }}{{ .cloud_password }}{{ end }}"
      }

      resources {
        cpu    = 200
        memory = 128
      }
    }
  }

  group "scheduler" {
    count = 2

    update {
      max_parallel = 1
    }

    network {
      port "admin" {
        to = 7801
      }
    }

    service {
      name     = "stint-scheduler"
      port     = "admin"
      provider = "nomad"

      check {
        type     = "http"
        path     = "/readyz"
        interval = "5s"
        timeout  = "3s"
      }
    }

    task "scheduler" {
      driver       = "docker"
      user         = "65532:65532"
      kill_signal  = "SIGTERM"
      kill_timeout = "30s"

      config {
        image           = "${var.image}:${var.version}"
        args            = ["scheduler"]
        ports           = ["admin"]
        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
      }

      env {
        STINT_CONFIG       = "/local/stint.yaml"
        STINT_WORKER_ADMIN = "0.0.0.0:7801"
      }

      template {
        destination = "local/stint.yaml"
        data        = file("stint.yaml")
      }

      template {
        destination = "secrets/redis-password"
        perms       = "0444"
        data        = "{{ with nomadVar \"nomad/jobs/stint\" }}{{ .redis_password }}{{ end }}"
      }

      template {
        destination = "secrets/cloud-password"
        perms       = "0444"
        data        = "{{ with nomadVar \"nomad/jobs/stint\" }}{{ .cloud_password }}{{ end }}"
      }

      resources {
        cpu    = 200
        memory = 128
      }
    }
  }

  group "worker" {
    count = 3

    update {
      max_parallel = 3
      # As many as there are: blue and green. With fewer, the rest is replaced stop-first.
      canary       = 3
      auto_promote = true
    }

    network {
      port "admin" {
        to = 7801
      }
    }

    service {
      name     = "stint-worker"
      port     = "admin"
      provider = "nomad"

      # No check_restart: a worker that is drained, or kept back by a fence, is not ready, and a restart would not help.
      check {
        type     = "http"
        path     = "/readyz"
        interval = "5s"
        timeout  = "3s"
      }
    }

    task "worker" {
      driver      = "docker"
      user        = "65532:65532"
      kill_signal = "SIGTERM"
      # Longer than worker.drain_timeout (25s) and what comes after it. Nomad's default is 5s. More than 30s has no effect
      # unless max_kill_timeout is raised in the configuration of each client.
      kill_timeout = "30s"

      config {
        image           = "${var.image}:${var.version}"
        args            = ["worker"]
        ports           = ["admin"]
        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
      }

      env {
        STINT_CONFIG = "/local/stint.yaml"
        # Nomad maps a port of the machine to it: keep that network to yourself. Whoever reaches it can drain the worker.
        STINT_WORKER_ADMIN = "0.0.0.0:7801"
        # A container sees all processors of its machine, also those that it may not use.
        STINT_WORKER_CONCURRENCY = "8"
        STINT_WORKER_LABELS      = "alloc=${NOMAD_SHORT_ALLOC_ID},node=${node.unique.name}"
      }

      template {
        destination = "local/stint.yaml"
        data        = file("stint.yaml")
      }

      template {
        destination = "secrets/redis-password"
        perms       = "0444"
        data        = "{{ with nomadVar \"nomad/jobs/stint\" }}{{ .redis_password }}{{ end }}"
      }

      template {
        destination = "secrets/cloud-password"
        perms       = "0444"
        data        = "{{ with nomadVar \"nomad/jobs/stint\" }}{{ .cloud_password }}{{ end }}"
      }

      resources {
        cpu    = 1000
        memory = 1024
      }
    }
  }
}
