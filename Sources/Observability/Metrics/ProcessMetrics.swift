internal import CLinux
import Glibc

/// The process's own numbers, under the names every Prometheus client uses.
extension MetricRegistry {
    /// Registers the process metrics and `oncegate_build_info`.
    package func registerProcess(version: String, revision: String, swift: String) {
        gauge(.buildInfo, [version, revision, swift]) { 1 }
        collect { samples in
            let statistics = ProcessStatistics.read()
            samples.set(.processCPUSeconds, [], statistics.cpuSeconds)
            samples.set(.processResidentMemory, [], Double(statistics.residentBytes))
            samples.set(.heapAllocated, [], Double(statistics.allocatedBytes))
            samples.set(.processVirtualMemory, [], Double(statistics.virtualBytes))
            samples.set(.processOpenDescriptors, [], Double(statistics.openDescriptors))
            samples.set(.processMaxDescriptors, [], Double(statistics.maxDescriptors))
            samples.set(.processStartTime, [], statistics.startSeconds)
            samples.set(.processThreads, [], Double(statistics.threads))
        }
    }
}

/// What /proc says of this process; what cannot be read is 0.
package struct ProcessStatistics: Sendable {
    package var cpuSeconds = 0.0
    package var residentBytes: UInt64 = 0
    /// Of all arenas, and of what is mapped for itself.
    package var allocatedBytes: UInt64 = 0
    package var virtualBytes: UInt64 = 0
    package var openDescriptors = 0
    package var maxDescriptors: UInt64 = 0
    package var startSeconds = 0.0
    package var threads: UInt64 = 0

    package static func read() -> Self {
        var statistics = Self()
        let ticks = Double(max(sysconf(Int32(_SC_CLK_TCK)), 1))
        // The second field is the program's name in parentheses, which may hold anything: count from the last ")".
        let stat = readFile("/proc/self/stat")
        let nameEnd = stat.lastIndex(of: UInt8(ascii: ")")) ?? -1
        let fields = stat[(nameEnd + 1)...].split(separator: 0x20)
        // proc(5): utime 14, stime 15, num_threads 20, starttime 22, vsize 23, rss 24; field 3 is the first after the
        // name.
        func field(_ number: Int) -> UInt64 {
            number - 3 < fields.count ? decimal(fields[number - 3]) : 0
        }
        statistics.cpuSeconds = Double(field(14) + field(15)) / ticks
        statistics.threads = field(20)
        statistics.virtualBytes = field(23)
        statistics.residentBytes = field(24) * UInt64(max(sysconf(Int32(_SC_PAGESIZE)), 0))
        statistics.allocatedBytes = UInt64(cl_heap_allocated())
        statistics.startSeconds = Double(bootSeconds()) + Double(field(22)) / ticks
        statistics.openDescriptors = countDescriptors()
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            statistics.maxDescriptors = UInt64(limit.rlim_cur)
        }
        return statistics
    }

    /// When the system started, seconds since the UNIX epoch.
    private static func bootSeconds() -> UInt64 {
        for line in readFile("/proc/stat").split(separator: 0x0A) where line.starts(with: "btime ".utf8) {
            return decimal(line.dropFirst(6))
        }
        return 0
    }

    private static func countDescriptors() -> Int {
        guard let directory = opendir("/proc/self/fd") else { return 0 }
        defer { closedir(directory) }
        var count = 0
        while let entry = readdir(directory) {
            count += entry.pointee.d_name.0 == 0x2E ? 0 : 1
        }
        // The directory itself is one of them.
        return max(count - 1, 0)
    }

    private static func decimal(_ digits: ArraySlice<UInt8>) -> UInt64 {
        var value: UInt64 = 0
        for digit in digits {
            guard digit >= 0x30, digit <= 0x39 else { break }
            value = value &* 10 &+ UInt64(digit - 0x30)
        }
        return value
    }

    private static func readFile(_ path: String) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var octets = [UInt8](repeating: 0, count: 64 << 10)
        var size = 0
        while size < octets.count {
            let count = octets.withUnsafeMutableBytes {
                Glibc.read(descriptor, $0.baseAddress! + size, $0.count - size)
            }
            if count <= 0 { break }
            size += count
        }
        return Array(octets[..<size])
    }
}
