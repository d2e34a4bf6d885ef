// Classifies image files over HTTP. Java 17 or newer, nothing to install or to compile:
//
//     java examples/java/Client.java MODEL FILE...
//
// RESNETD_HTTP is the server's address, 127.0.0.1:8000 by default.

import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class Client {
    private static final Duration TIMEOUT = Duration.ofSeconds(10);
    private static final int ATTEMPTS = 4;
    // The JDK reads no JSON; a program that has a library for it (Jackson, Gson) uses that instead.
    private static final String TEXT = "\"((?:[^\"\\\\]|\\\\.)*)\"";
    private static final Pattern CLASS = Pattern.compile("\"label\":" + TEXT + ",\"probability\":([-0-9.eE]+)");

    private final HttpClient http = HttpClient.newBuilder().connectTimeout(TIMEOUT).build();
    private final String address;

    Client(String address) {
        this.address = address;
    }

    /** The most probable classes of one image file, in one line. */
    String classify(String model, Path image) throws Exception {
        // The server is told when nobody waits any more; the request's own timeout holds for the way there and back.
        String path = "/v1/models/" + URLEncoder.encode(model, StandardCharsets.UTF_8) + ":classify?top_k=3&timeout_ms=" + TIMEOUT.toMillis();
        HttpRequest request = HttpRequest.newBuilder(URI.create("http://" + address + path))
                .timeout(TIMEOUT)
                .header("Content-Type", "application/octet-stream")
                .POST(HttpRequest.BodyPublishers.ofFile(image))
                .build();
        for (int attempt = 1; ; attempt++) {
            HttpResponse<String> answer = http.send(request, HttpResponse.BodyHandlers.ofString());
            int status = answer.statusCode();
            if (status == 200) {
                StringBuilder line = new StringBuilder(image.toString());
                for (Matcher found = CLASS.matcher(answer.body()); found.find(); ) {
                    line.append(String.format("  %s %.2f", found.group(1), Double.valueOf(found.group(2))));
                }
                return line.toString();
            }
            if (attempt == ATTEMPTS || status != 429 && status != 503) {
                throw new Exception(text(answer.body(), "error") + " (" + text(answer.body(), "code") + ", request " + text(answer.body(), "request_id") + ")");
            }
            Thread.sleep(1000 * answer.headers().firstValueAsLong("retry-after").orElse(1));
        }
    }

    private static String text(String json, String key) {
        Matcher found = Pattern.compile("\"" + key + "\":" + TEXT).matcher(json);
        return found.find() ? found.group(1).replace("\\\"", "\"") : "?";
    }

    public static void main(String[] arguments) {
        if (arguments.length < 2) {
            System.err.println("usage: java Client.java MODEL FILE...");
            System.exit(2);
        }
        String address = System.getenv().getOrDefault("RESNETD_HTTP", "127.0.0.1:8000");
        Client client = new Client(address);
        boolean failed = false;
        for (int at = 1; at < arguments.length; at++) {
            try {
                System.out.println(client.classify(arguments[0], Path.of(arguments[at])));
            } catch (Exception error) {
                System.err.println(arguments[at] + ": " + error.getMessage());
                failed = true;
            }
        }
        System.exit(failed ? 1 : 0);
    }
}
