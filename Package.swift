// swift-tools-version: 6.2
import PackageDescription

// Dependency direction is the design (see README, "Source tour"): a target may import only what stands in its list.
let package = Package(
    name: "oncegate",
    products: [.executable(name: "oncegate", targets: ["oncegate"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0")
    ],
    targets: [
        // Module maps and inline shims only.
        .systemLibrary(name: "CLinux"),
        .systemLibrary(name: "CLibXML2", pkgConfig: "libxml-2.0", providers: [.apt(["libxml2-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CNghttp2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),

        .target(name: "Idempotency", dependencies: ["CLibXML2", "COpenSSL"]),
        .target(name: "HTTP", dependencies: ["CNghttp2"]),
        .target(name: "Transport", dependencies: ["CLinux", "COpenSSL"]),
        .target(name: "Observability", dependencies: ["CLinux"]),
        .target(name: "Stores", dependencies: ["Idempotency", "Transport", "CLinux", "COpenSSL", "CSQLite"]),
        .target(name: "Proxy", dependencies: ["HTTP", "Transport", "Idempotency", "Observability"]),
        .target(name: "Configuration", dependencies: ["Idempotency", "CLinux"]),
        .executableTarget(
            name: "oncegate",
            dependencies: [
                "Configuration", "HTTP", "Idempotency", "Observability", "Proxy", "Stores", "Transport", "CLinux",
                "COpenSSL",
                "CSQLite",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]
        ),

        .target(name: "TestSupport", dependencies: ["CLinux", "Idempotency"], path: "Tests/TestSupport"),
        .testTarget(name: "IdempotencyTests", dependencies: ["Idempotency", "TestSupport"]),
        .testTarget(name: "HTTPTests", dependencies: ["HTTP", "TestSupport"]),
        .testTarget(name: "TransportTests", dependencies: ["Transport", "TestSupport", "CLinux", "COpenSSL"]),
        .testTarget(name: "ObservabilityTests", dependencies: ["Observability", "TestSupport"]),
        .testTarget(name: "StoresTests", dependencies: ["Stores", "TestSupport"]),
        .testTarget(
            name: "ProxyTests",
            dependencies: ["Proxy", "HTTP", "Idempotency", "Observability", "Transport", "TestSupport"]),
        .testTarget(name: "ConfigurationTests", dependencies: ["Configuration", "TestSupport"]),
        .testTarget(name: "SimulationTests", dependencies: ["Idempotency", "Stores", "TestSupport"]),
        .testTarget(
            name: "IntegrationTests", dependencies: ["Idempotency", "Stores", "TestSupport", "oncegate"],
            exclude: ["Clients"]),
        .testTarget(name: "StyleTests", dependencies: ["oncegate"]),
    ],
    swiftLanguageModes: [.v6]
)

/// The targets in which every use of an unsafe construct must be marked: those that read hostile input without doing I/O.
let strictlySafe: Set<String> = ["Idempotency", "HTTP", "Configuration"]

for target in package.targets where target.type == .regular || target.type == .executable || target.type == .test {
    target.swiftSettings = [
        .treatAllWarnings(as: .error),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableExperimentalFeature("Lifetimes"),
    ]
    if strictlySafe.contains(target.name) {
        target.swiftSettings?.append(.strictMemorySafety())
    }
}
