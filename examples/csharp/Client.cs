// Classifies image files over HTTP, with System.Net.Http: .NET, or Mono as Debian has it.
//
//     mcs -r:System.Net.Http.dll examples/csharp/Client.cs && mono examples/csharp/Client.exe MODEL FILE...
//
// RESNETD_HTTP is the server's address, 127.0.0.1:8000 by default.

using System;
using System.Globalization;
using System.IO;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Text.RegularExpressions;
using System.Threading.Tasks;

public static class Client
{
    static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);
    const int Attempts = 4;
    // Mono reads no JSON by itself; on .NET use System.Text.Json instead.
    const string Text = "\"((?:[^\"\\\\]|\\\\.)*)\"";
    static readonly Regex Class = new Regex("\"label\":" + Text + ",\"probability\":([-0-9.eE]+)");

    /// The most probable classes of one image file, in one line.
    static async Task<string> Classify(HttpClient http, string model, string file)
    {
        // The server is told when nobody waits any more; the client's own timeout holds for the way there and back.
        var path = "/v1/models/" + Uri.EscapeDataString(model) + ":classify?top_k=3&timeout_ms=" + (int)Timeout.TotalMilliseconds;
        for (var attempt = 1; ; attempt++)
        {
            var image = new ByteArrayContent(File.ReadAllBytes(file));
            image.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
            var answer = await http.PostAsync(path, image);
            var body = await answer.Content.ReadAsStringAsync();
            var status = (int)answer.StatusCode;
            if (status == 200)
            {
                var line = file;
                foreach (Match found in Class.Matches(body))
                {
                    var probability = double.Parse(found.Groups[2].Value, CultureInfo.InvariantCulture);
                    line += string.Format(CultureInfo.InvariantCulture, "  {0} {1:F2}", found.Groups[1].Value, probability);
                }
                return line;
            }
            if (attempt == Attempts || (status != 429 && status != 503))
                throw new Exception(Value(body, "error") + " (" + Value(body, "code") + ", request " + Value(body, "request_id") + ")");
            var wait = answer.Headers.RetryAfter == null ? null : answer.Headers.RetryAfter.Delta;
            await Task.Delay(wait ?? TimeSpan.FromSeconds(1));
        }
    }

    static string Value(string json, string key)
    {
        var found = Regex.Match(json, "\"" + key + "\":" + Text);
        return found.Success ? found.Groups[1].Value.Replace("\\\"", "\"") : "?";
    }

    public static int Main(string[] arguments)
    {
        if (arguments.Length < 2)
        {
            Console.Error.WriteLine("usage: Client MODEL FILE...");
            return 2;
        }
        var address = Environment.GetEnvironmentVariable("RESNETD_HTTP") ?? "127.0.0.1:8000";
        var http = new HttpClient { BaseAddress = new Uri("http://" + address), Timeout = Timeout };
        var failed = false;
        for (var at = 1; at < arguments.Length; at++)
        {
            try
            {
                Console.WriteLine(Classify(http, arguments[0], arguments[at]).GetAwaiter().GetResult());
            }
            catch (Exception error)
            {
                Console.Error.WriteLine(arguments[at] + ": " + error.Message);
                failed = true;
            }
        }
        return failed ? 1 : 0;
    }
}
