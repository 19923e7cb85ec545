import Idempotency
import Observability
import Transport

/// Asks services what became of requests whose outcome is not known, and stores what they say. One per worker.
final class Prober {
    /// A question that is asked without anybody waiting.
    private final class Pending {
        let run: ProbeRun
        let background: Probe.Background
        var attempts = 0
        var intervalMilliseconds: UInt64

        init(_ run: ProbeRun, _ background: Probe.Background) {
            self.run = run
            self.background = background
            intervalMilliseconds = background.first
        }

        var bytes: Int { run.question.byteCount }
    }

    private unowned let context: WorkerContext

    init(context: WorkerContext) {
        self.context = context
    }

    private var registry: ProbeRegistry { context.shared.probes }

    // MARK: For a repeat

    /// A place among those who wait for the key's probe; with `first`, `ask` or `giveUp` follows.
    func begin(_ key: RecordKey, _ waiter: ReplyAddress?, route: Route) -> ProbeRegistry.Place {
        let place = registry.begin(
            key, waiter, waitersMax: route.policy?.waitersMax ?? 0, runningMax: context.limits.probesMax)
        if place == .full {
            context.telemetry.probeEnded(route, .busy)
            context.telemetry.limitHit("probes")
        }
        return place
    }

    /// The question cannot be asked.
    func giveUp(_ key: RecordKey, route: Route) {
        end(key, route, .notRendered)
    }

    func ask(_ run: ProbeRun, _ concluded: @escaping (ProbeResult) -> Void = { _ in }) {
        run.provesAbsence =
            !registry.isLate(run.subject.key)
            && run.subject.age(at: context.worker.now) >= run.plan.absentAfterMilliseconds
        run.ended = { [unowned self] run in
            judge(run) { [unowned self] result in
                end(run.subject.key, run.route, result)
                if result.isDecision { registry.removePending(run.subject.key, epoch: run.subject.epoch) }
                concluded(result)
            }
        }
        context.openProbe(run)
    }

    private func end(_ key: RecordKey, _ route: Route, _ result: ProbeResult) {
        context.telemetry.probeEnded(route, result)
        registry.end(key, result, atMilliseconds: context.worker.wallMilliseconds)
        if result == .found || result == .absent { context.telemetry.settledByProbe(key, route, result) }
    }

    // MARK: The verdict

    private func judge(_ run: ProbeRun, _ concluded: @escaping (ProbeResult) -> Void) {
        guard let reply = run.reply else { return concluded(run.failure) }
        let verdict = run.plan.verdict(
            on: reply, to: run.question, bodyBytesMax: run.route.recordBodyBytesMax, scratch: &context.identityScratch)
        switch verdict {
        case .found(let answer): store(run, .answered(answer), .found, concluded)
        case .absent where !run.provesAbsence: concluded(.tooEarly)
        case .absent: store(run, .released, .absent, concluded)
        case .unclear: concluded(.unclear)
        case .incomplete: concluded(.incomplete)
        }
    }

    /// The store refuses the verdict when somebody else has decided meanwhile: then that stands.
    private func store(
        _ run: ProbeRun, _ outcome: Outcome, _ result: ProbeResult, _ concluded: @escaping (ProbeResult) -> Void
    ) {
        let claim = ClaimReference(key: run.subject.key, epoch: run.subject.epoch)
        context.ask {
            .settle(claim, outcome, $0)
        } _: { answer in
            switch answer {
            case .stored(.durable): concluded(result)
            case .stored(.stale): concluded(.superseded)
            default: concluded(.notStored)
            }
        }
    }

    // MARK: In the background

    /// The outcome became unknown in this process: its question is asked from time to time, until somebody decides.
    func schedule(_ run: ProbeRun) {
        guard let background = run.plan.background else { return }
        let pending = Pending(run, background)
        guard context.reserveBodyMemory(pending.bytes) else { return context.telemetry.limitHit("background_probes") }
        let subject = run.subject
        let countMax = context.limits.backgroundProbesMax
        guard registry.addPending(subject.key, epoch: subject.epoch, countMax: countMax) else {
            context.releaseBodyMemory(pending.bytes)
            return context.telemetry.limitHit("background_probes")
        }
        wait(pending)
    }

    /// Between three quarters and five quarters of the interval: what became unknown together is not asked for
    /// together.
    private func wait(_ pending: Pending) {
        let quarter = pending.intervalMilliseconds / 4
        let delay = pending.intervalMilliseconds - quarter + UInt64.random(in: 0...2 * quarter)
        context.worker.schedule(at: context.worker.now.adding(milliseconds: delay)) { [unowned self] in
            self.timePassed(pending)
        }
    }

    private func timePassed(_ pending: Pending) {
        let subject = pending.run.subject
        guard registry.isPending(subject.key, epoch: subject.epoch), !context.isDraining else {
            return forget(pending)
        }
        guard begin(subject.key, nil, route: pending.run.route) == .first else { return wait(pending) }
        pending.attempts += 1
        let (doubled, hasOverflowed) = pending.intervalMilliseconds.multipliedReportingOverflow(by: 2)
        pending.intervalMilliseconds = min(hasOverflowed ? .max : doubled, pending.background.max)
        ask(pending.run.again()) { [unowned self] result in
            let isOver = result.isDecision || pending.attempts >= pending.run.plan.attemptsMax
            if isOver { forget(pending) } else { wait(pending) }
        }
    }

    private func forget(_ pending: Pending) {
        registry.removePending(pending.run.subject.key, epoch: pending.run.subject.epoch)
        context.releaseBodyMemory(pending.bytes)
    }
}
