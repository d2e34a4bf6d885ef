"""What a further output costs a session that is not asked for it: ONNX Runtime in Python, one thread, by turns.

    pip install onnx==1.23.2 onnxruntime==1.32.0 numpy
    python benches/explain/session.py [--rounds 7] GRAPH...

Of each graph one session gives the features out and one the maps before the pool as well; both are run for the classes alone. Prints whether
the classes keep every bit, and the processor time with the maps against without.
"""
import argparse
import statistics
import time

import numpy
import onnx
import onnxruntime


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def cost(tried, names, image, runs):
    began = time.process_time()
    for _ in range(runs):
        tried.run(names, image)
    return time.process_time() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.4, help="of a turn")
    parser.add_argument("--size", type=int, default=224, help="of a side, where the graph leaves it free")
    parser.add_argument("graphs", nargs="+")
    given = parser.parse_args()
    for path in given.graphs:
        model = onnx.load(path)
        pool = [node for node in model.graph.node if node.op_type == "GlobalAveragePool"][-1]
        dense = [node for node in model.graph.node if node.op_type == "Gemm"][-1]
        names = [model.graph.output[0].name]
        model.graph.output.append(onnx.ValueInfoProto(name=dense.input[0]))
        without = session(model)
        model.graph.output.append(onnx.ValueInfoProto(name=pool.input[0]))
        with_maps = session(model)
        shape = [1] + [side if isinstance(side, int) else given.size for side in without.get_inputs()[0].shape[1:]]
        image = {without.get_inputs()[0].name: numpy.random.default_rng(0).standard_normal(shape).astype(numpy.float32)}
        same = numpy.array_equal(without.run(names, image)[0], with_maps.run(names, image)[0])
        runs = max(1, int(given.seconds / max(cost(without, names, image, 1), 1e-6)))
        ratios = []
        for turn in range(given.rounds):
            order = [without, with_maps] if turn % 2 else [with_maps, without]
            times = {tried: cost(tried, names, image, runs) for tried in order}
            ratios.append(times[with_maps] / times[without])
        print(f"{path}: the same bits: {same}; {statistics.median(ratios):.4f} of the processor time (median of {len(ratios)}, {min(ratios):.3f} to {max(ratios):.3f})", flush=True)


if __name__ == "__main__":
    main()
