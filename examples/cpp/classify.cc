// Classifies image files over gRPC. See README.md for how it is built.
//
//     classify MODEL FILE...
//
// RESNETD_GRPC is the server's address, 127.0.0.1:8001 by default.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>

#include <grpcpp/grpcpp.h>

#include "resnetd/v1/classifier.grpc.pb.h"

namespace {

constexpr std::chrono::seconds kTimeout{10};

// What the server says of an error beside its status.
std::string Metadata(const grpc::ClientContext& context, const std::string& key) {
  const auto& metadata = context.GetServerTrailingMetadata();
  const auto found = metadata.find(key);
  return found == metadata.end() ? "?" : std::string(found->second.data(), found->second.size());
}

bool Classify(resnetd::v1::Classifier::Stub& classifier, const std::string& model, const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) {
    std::cerr << file << ": cannot be read\n";
    return false;
  }
  resnetd::v1::ClassifyRequest request;
  request.set_model(model);
  request.set_top_k(3);
  request.add_images(std::string(std::istreambuf_iterator<char>(stream), {}));

  grpc::ClientContext context;
  // The server is told of it, and does not run what nobody waits for.
  context.set_deadline(std::chrono::system_clock::now() + kTimeout);
  resnetd::v1::ClassifyResponse answer;
  const grpc::Status status = classifier.Classify(&context, request, &answer);
  if (!status.ok()) {
    std::cerr << file << ": " << status.error_message() << " (" << Metadata(context, "x-error-code") << ", request "
              << Metadata(context, "x-request-id") << ")\n";
    return false;
  }
  std::printf("%s", file.c_str());
  for (const auto& one : answer.predictions(0).classes()) {
    std::printf("  %s %.2f", one.label().c_str(), one.probability());
  }
  std::printf("\n");
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: classify MODEL FILE...\n";
    return 2;
  }
  const char* address = std::getenv("RESNETD_GRPC");
  const auto channel = grpc::CreateChannel(address ? address : "127.0.0.1:8001", grpc::InsecureChannelCredentials());
  const auto classifier = resnetd::v1::Classifier::NewStub(channel);
  bool failed = false;
  for (int at = 2; at < argc; ++at) failed |= !Classify(*classifier, argv[1], argv[at]);
  return failed ? 1 : 0;
}
