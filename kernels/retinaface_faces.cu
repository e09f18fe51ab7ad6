// RetinaFace's outputs to faces (Deng et al., CVPR 2020): decoded only where the score is above the threshold.
//
//   anchor k: centre (column + 1/2, row + 1/2) . stride, side 16 . 4^level . (1 or 2), level by level, row by row
//   centre' = centre + 0.1 loc[0:2] side;  size = side exp(0.2 loc[2:4]);  point = centre + 0.1 mark side
//   box = (centre' -+ size / 2) / factor, points / factor: displayed pixels
//
// One thread an anchor. Faces are appended in no order, with their frame and anchor, by which the launcher sorts them.

extern "C" __global__ void retinaface_faces(const float* loc, const float* conf, const float* marks, int n, int anchors,
                                            int height, int width, float score, float factor, int* count, int* found,
                                            float* faces) {
    long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= (long long)n * anchors || !(conf[at * 2 + 1] > score)) return;
    int frame = (int)(at / anchors), anchor = (int)(at % anchors), k = anchor, level = 0, stride = 8;
    int columns = (width + stride - 1) / stride, rows = (height + stride - 1) / stride;
    while (k >= rows * columns * 2) {
        k -= rows * columns * 2;
        ++level, stride *= 2;
        columns = (width + stride - 1) / stride, rows = (height + stride - 1) / stride;
    }
    float side = (float)((16 << (2 * level)) << (k % 2));
    float cx = (k / 2 % columns + 0.5f) * stride, cy = (k / 2 / columns + 0.5f) * stride;
    const float* l = loc + at * 4;
    float x = cx + 0.1f * l[0] * side, y = cy + 0.1f * l[1] * side;
    float half_width = side * expf(0.2f * l[2]) / 2, half_height = side * expf(0.2f * l[3]) / 2;
    int place = atomicAdd(count, 1);
    found[place * 2] = frame, found[place * 2 + 1] = anchor;
    float* face = faces + place * 15LL;
    face[0] = (x - half_width) / factor, face[1] = (y - half_height) / factor;
    face[2] = (x + half_width) / factor, face[3] = (y + half_height) / factor;
    face[4] = conf[at * 2 + 1];
    for (int i = 0; i < 10; ++i) face[5 + i] = ((i % 2 ? cy : cx) + 0.1f * marks[at * 10 + i] * side) / factor;
}
