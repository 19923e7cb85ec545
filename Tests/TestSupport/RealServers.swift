import Foundation

/// nginx or nghttpx on a free port of 127.0.0.1, ended with the test.
package final class RealServer: Sendable {
    package let address: Address
    package let process: Subprocess
    package let directory: String

    package var port: Int { address.port }
    package func url(_ scheme: String) -> String { "\(scheme)://\(address)" }

    private init(_ name: String, _ command: (_ directory: String, _ port: Int) throws -> [String]) throws {
        directory = try TestScope.current!.newDirectory()
        let reserved = try TestListener(at: .ipv4(port: 0))
        address = reserved.address
        reserved.close()
        let process = try Subprocess(command(directory, address.port), directory: directory)
        self.process = process
        TestScope.current?.atEnd {
            process.kill(SIGTERM)
            if (try? process.waitForExit(until: .after(5))) == nil { process.kill(SIGKILL) }
        }
        TestScope.current?.describeOnFailure { [directory] in
            let log = (try? String(contentsOfFile: "\(directory)/error.log", encoding: .utf8)) ?? ""
            return "--- \(name)\n\(process.standardError.suffix(3000))\(log.suffix(3000))"
        }
        _ = try poll("\(name) listens") {
            guard process.isRunning else {
                throw MalformedMessage("\(name) ended", octets(process.standardError))
            }
            return try? TestSocket.connect(to: address)
        }
    }

    /// nginx with one server block. `server` is what stands in it beside `listen`; `http` stands before it.
    /// - Parameter listen: what follows the address, e.g. `ssl http2`.
    package static func nginx(
        listen: String = "", certificate: TestCertificate? = nil, http: String = "", server: String
    ) throws -> RealServer {
        try RealServer("nginx") { directory, port in
            var lines = ["listen 127.0.0.1:\(port) \(listen);", server]
            if let files = try certificate?.files {
                lines += ["ssl_certificate \(files.certificate);", "ssl_certificate_key \(files.key);"]
                lines += ["ssl_protocols TLSv1.2 TLSv1.3;"]
            }
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
                "\($0)_temp_path \(directory)/\($0);"
            }
            let user = getuid() == 0 ? "user root;" : ""
            let text = """
                \(user) daemon off; master_process off; worker_processes 1; pid \(directory)/pid;
                error_log \(directory)/error.log info;
                events { worker_connections 1024; }
                http {
                  log_format lines '$request_method $request_uri $server_protocol $status $http_idempotency_key';
                  access_log \(directory)/access.log lines;
                  \(temporary.joined(separator: " "))
                  \(http)
                  server { \(lines.joined(separator: "\n")) }
                }
                """
            try text.write(toFile: "\(directory)/nginx.conf", atomically: true, encoding: .utf8)
            return ["nginx", "-p", directory, "-c", "\(directory)/nginx.conf", "-e", "\(directory)/error.log"]
        }
    }

    /// `openssl s_server` that wants a client's certificate of the authority, and answers nothing.
    package static func opensslAskingClients(_ certificate: TestCertificate = .service) throws -> RealServer {
        try RealServer("openssl s_server") { _, port in
            let files = try certificate.files
            return [
                "openssl", "s_server", "-accept", "127.0.0.1:\(port)", "-cert", files.certificate, "-key", files.key,
                "-Verify", "2", "-verify_return_error", "-CAfile", try TestCertificate.authority(),
                "-alpn", "h2,http/1.1", "-quiet",
            ]
        }
    }

    /// nginx before a service; it speaks HTTP/1.1 to that one.
    package static func nginx(
        listen: String = "", certificate: TestCertificate? = nil, to service: Address
    ) throws -> RealServer {
        try nginx(
            listen: listen, certificate: certificate,
            server: """
                location / {
                  proxy_pass http://\(service); proxy_http_version 1.1; proxy_set_header Connection "";
                  proxy_set_header Host $host; proxy_request_buffering off; proxy_buffering off;
                }
                """)
    }

    /// nghttpx before a service.
    /// - Parameter options: further ones; the frontend takes h2c and HTTP/1.1 without a certificate.
    package static func nghttpx(
        certificate: TestCertificate? = nil, to service: Address, serviceProtocol: String = "http/1.1",
        options: [String] = []
    ) throws -> RealServer {
        try RealServer("nghttpx") { directory, port in
            let files = try certificate?.files
            var command = ["nghttpx", "--conf=/dev/null", "--workers=1", "--single-process", "--no-ocsp"]
            command += ["--frontend=127.0.0.1,\(port)\(files == nil ? ";no-tls" : "")"]
            command += ["--backend=127.0.0.1,\(service.port);;proto=\(serviceProtocol)"]
            command += ["--errorlog-file=\(directory)/error.log", "--accesslog-file=\(directory)/access.log"]
            command += options
            if let files { command += [files.key, files.certificate] }
            return command
        }
    }

    /// The lines of its access log, as they are written when requests end.
    package func waitForAccessLog(_ count: Int, until deadline: Deadline = .standard) throws -> [String] {
        try poll("\(count) lines in the access log", until: deadline) {
            let text = (try? String(contentsOfFile: "\(directory)/access.log", encoding: .utf8)) ?? ""
            let lines = text.split(separator: "\n").map(String.init)
            return lines.count >= count ? lines : nil
        }
    }
}
