// Softmax cross entropy for classes given by number, on rows of logits (pixels, channels).

const int THREADS = 256;
const int LANES = 32;              // threads that share a row
const int ROWS = THREADS / LANES;  // rows of a block

// For each row: log(sum(exp(x))) - x[target]; and of the logarithm the largest x and the rest, which are kept apart
// because together they would be rounded to the digits of the largest.
template <class T>
__global__ void __launch_bounds__(THREADS)
cross_entropy(const T* __restrict__ x, const int64* __restrict__ target, T* __restrict__ loss,
              typename Sum<T>::type* __restrict__ tops, typename Sum<T>::type* __restrict__ rests, int64 pixels,
              int64 channels) {
    typedef typename Sum<T>::type S;
    __shared__ S shared[THREADS];
    const int t = threadIdx.x, lane = t % LANES;
    for (int64 base = (int64)blockIdx.x * ROWS; base < pixels; base += (int64)gridDim.x * ROWS) {
        const int64 p = base + t / LANES;
        const T* row = x + (p < pixels ? p : base) * channels;
        S top = load(row);
        for (int64 c = lane; c < channels; c += LANES) {
            const S v = load(row + c);
            if (v > top) top = v;
        }
        __syncthreads();
        shared[t] = top;
        for (int half_ = LANES / 2; half_ > 0; half_ /= 2) {
            __syncthreads();
            if (lane < half_ && shared[t + half_] > shared[t]) shared[t] = shared[t + half_];
        }
        __syncthreads();
        top = shared[t - lane];
        if (top - top != 0) top = 0;  // infinite: inf - inf would be nan
        S sum = 0;
        for (int64 c = lane; c < channels; c += LANES) sum += exp(load(row + c) - top);
        __syncthreads();
        shared[t] = sum;
        for (int half_ = LANES / 2; half_ > 0; half_ /= 2) {
            __syncthreads();
            if (lane < half_) shared[t] += shared[t + half_];
        }
        if (lane == 0 && p < pixels) {
            const S rest = log(shared[t]);
            put(tops + p, top);
            put(rests + p, rest);
            store(loss + p, rest + (top - load(row + target[p])));
        }
    }
}

// dx = g * (exp(x - top - rest) - one_hot(target)).
template <class T>
__global__ void cross_entropy_input(const T* __restrict__ g, const T* __restrict__ x, const int64* __restrict__ target,
                                    const typename Sum<T>::type* __restrict__ tops,
                                    const typename Sum<T>::type* __restrict__ rests, T* __restrict__ dx, int64 size,
                                    int64 channels) {
    FOR_EACH(i, size) {
        const int64 p = i / channels;
        const typename Sum<T>::type right = i % channels == target[p];
        store(dx + i, load(g + p) * (exp(load(x + i) - tops[p] - rests[p]) - right));
    }
}
