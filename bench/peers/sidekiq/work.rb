# Enqueues and runs no-op jobs with Sidekiq, and prints what that took as one line of JSON:
#
#     ruby work.rb REDIS_URL JOBS CONCURRENCY
require 'json'
require 'sidekiq'
require 'sidekiq/cli'

URL ||= ARGV[0]
JOBS ||= Integer(ARGV[1])
CONCURRENCY ||= ARGV[2]
Sidekiq.logger.level = Logger::ERROR
Sidekiq.configure_server { |config| config.redis = { url: URL } }
Sidekiq.configure_client { |config| config.redis = { url: URL } }

class Noop
  include Sidekiq::Job

  @left = JOBS
  @turn = Mutex.new
  class << self
    # done tells the bench when the last job has run, and ends the process the way an operator does.
    def done
      return unless @turn.synchronize { (@left -= 1).zero? }

      $finished = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      Process.kill('TERM', Process.pid)
    end
  end

  def perform(_number) = self.class.done
end

unless $loaded
  $loaded = true
  begin_at = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  (0...JOBS).each_slice(1000) { |page| Sidekiq::Client.push_bulk('class' => Noop, 'args' => page.map { |i| [i] }) }
  enqueued = Process.clock_gettime(Process::CLOCK_MONOTONIC) - begin_at
  cli = Sidekiq::CLI.instance
  cli.parse(['-r', File.expand_path(__FILE__), '-c', CONCURRENCY, '-t', '5'])
  begin_at = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  at_exit do
    puts JSON.generate('enqueue_s' => enqueued, 'work_s' => $finished - begin_at)
  end
  cli.run
end
